"""The training step and the evaluation step, as pure functions to be jitted."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from seqmodels.arrays import AnyArray, Array, Float, Int, Params, PyTree, Shaped, State
from seqmodels.model import Model
from seqmodels.model_metrics import model_metrics
from seqmodels.tasks.base import Batch, Metrics, Task
from seqmodels.tasks.row_metrics import PER_EXAMPLE, join_parts, row_metrics
from seqmodels.training.guard import DIVERGED, Guard, Guarding
from seqmodels.training.optimizer import Optimizer
from seqmodels.training.sharding import batch_shapes, replicated, traced_under, with_shardings


class TrainState(NamedTuple):
    """All that a run carries from step to step, and all that a checkpoint holds."""

    step: Int[Array, ""]
    params: Params
    optimizer: PyTree[Array]


class GuardedState(NamedTuple):
    """That of a run with a :class:`~seqmodels.training.guard.Guard`.

    A field that is None elsewhere would change what checkpoints of all other runs hold.
    """

    step: Int[Array, ""]
    params: Params
    optimizer: PyTree[Array]
    guard: Guard


RunState = TrainState | GuardedState


@partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["names"])
@dataclass(frozen=True)
class StepReport:
    """What one training step says of itself, in one array: to read several costs as many waits."""

    values: Float[AnyArray, "n 2"]
    """Each metric's sum and count."""
    names: tuple[str, ...]
    """The task's metrics, the gradient's norm before clipping, and of a guarded run whether the
    step diverged."""

    def read(self) -> dict[str, tuple[float, float]]:
        """Waits for the step; each metric as (sum, count)."""
        rows = np.asarray(self.values).tolist()
        return {name: (total, count) for name, (total, count) in zip(self.names, rows, strict=True)}


def initial_state(
    model: Model,
    optimizer: Optimizer,
    seed: int | Shaped[AnyArray, "2"],
    params: Params | None = None,
    guarding: Guarding | None = None,
) -> RunState:
    """The state before the first step; the parameters are drawn unless they are given.

    The seed may be its key's data, of which a program serves every seed.
    """
    if params is None:
        key = (
            jax.random.key(seed)
            if isinstance(seed, int)
            else jax.random.wrap_key_data(jnp.asarray(seed))
        )
        params = model.init(key)
    state = TrainState(jnp.zeros((), jnp.int32), params, optimizer.transformation.init(params))
    return state if guarding is None else GuardedState(*state, guarding.begin())


def evaluated(optimizer: Optimizer, state: RunState) -> Params:
    """The parameters of a state that are scored, and used: its own, or an average of them."""
    return optimizer.evaluated(state.optimizer, state.params)


def key_data(seed: int) -> Shaped[AnyArray, "2"]:
    """What a seed's key is made of."""
    return np.asarray(jax.random.key_data(jax.random.key(seed)))


class Given(NamedTuple):
    """What runs differ by that share a program: arguments of it, and no constants.

    So the runs of a sweep by many seeds and rates compile each architecture once.
    """

    key: Shaped[AnyArray, "2"]
    """The data of the seed's key."""
    peak: Float[AnyArray, ""]
    """The learning rates at the schedule's peak, and at its end."""
    final: Float[AnyArray, ""]

    @classmethod
    def of(cls, optimizer: Optimizer, seed: int) -> "Given":
        """Those of a run."""
        rate = optimizer.learning_rate
        return cls(
            key_data(seed), np.asarray(rate.peak, np.float32), np.asarray(rate.final, np.float32)
        )


class WithGiven:
    """A step, jitted, lowered or compiled, whose last argument is given.

    It is placed by the first call: copied anew at each it would cost 0.1 ms. What is lowered takes
    each field of a batch where it lies, also from the host.
    """

    def __init__(self, function: Any, given: Given, mesh: Mesh):
        self._function, self._given, self._mesh = function, given, mesh
        self._placed: Given | None = None

    def __call__(self, state: RunState, batch: Batch) -> tuple[RunState, StepReport]:
        if self._placed is None:
            self._placed = jax.device_put(self._given, replicated(self._mesh))
        return self._function(state, batch, self._placed)

    def lower(self, state: Any, batch: Batch) -> "WithGiven":
        shapes = batch_shapes(batch, self._mesh)
        lowered = self._function.lower(state, shapes, self._given)
        return WithGiven(lowered, self._given, self._mesh)

    def compile(self) -> "WithGiven":
        return WithGiven(self._function.compile(), self._given, self._mesh)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


def make_train_step(
    model: Model,
    task: Task,
    optimizer: Optimizer,
    accumulate: int,
    seed: int,
    truncate: int | None = None,
    guarding: Guarding | None = None,
) -> Callable[..., tuple[RunState, StepReport]]:
    """One step of gradient descent on the mean loss of a batch: of a state and the batch the state
    after it and a report. What else is given (:class:`Given`) is the run's own by default.

    With ``accumulate`` = k, gradients are summed over k micro-batches before the one
    update: the same mathematics in 1/k of the activations. Dropout keys follow from
    the seed, the step and the micro-batch, so a resumed run repeats them.

    With ``truncate`` = C the sequence is read in segments of C positions. The state is
    carried from one to the next and the gradient is not (truncated back-propagation
    through time, Williams and Peng 1990), so activations of one segment exist at a time.
    The one update takes the sum of all segments' gradients.

    With ``guarding`` the report says whether the step diverged, whose update may be left out.
    """

    def loss_sum(params: Params, batch: Batch, key: Array) -> tuple[Array, Metrics]:
        metrics = model_metrics(model, task, params, batch, key)
        return metrics["loss"][0], metrics

    def gradient(params: Params, batch: Batch, key: Array) -> tuple[Params, Metrics]:
        if truncate is not None:
            return _truncated_gradient(model, task, truncate, params, batch, key)
        return jax.grad(loss_sum, has_aux=True)(params, batch, key)

    def accumulated(params: Params, batch: Batch, key: Array) -> tuple[Params, Metrics]:
        if accumulate == 1:
            return gradient(params, batch, key)
        # Micro-batch i takes rows i, i + k, ...: each device keeps the rows that it holds.
        micro = jax.tree.map(
            lambda x: jnp.moveaxis(x.reshape(-1, accumulate, *x.shape[1:]), 1, 0), batch
        )
        keys = jax.random.split(key, accumulate)
        shapes = jax.eval_shape(gradient, params, jax.tree.map(lambda x: x[0], micro), key)
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

        def add(total, part):
            return jax.tree.map(jnp.add, total, gradient(params, *part)), None

        return jax.lax.scan(add, zeros, (micro, keys))[0]

    own = Given.of(optimizer, seed)

    def step(state: RunState, batch: Batch, given: Given = own) -> tuple[RunState, StepReport]:
        key = jax.random.fold_in(jax.random.wrap_key_data(jnp.asarray(given.key)), state.step)
        rate = replace(optimizer.learning_rate, peak=given.peak, final=given.final)
        gradients, metrics = accumulated(state.params, batch, key)
        count = metrics["loss"][1]
        gradients = jax.tree.map(lambda g: g / count, gradients)
        norm = optax.tree.norm(gradients)
        descent = optimizer.along(rate)
        updates, moments = descent.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        report = metrics | {"gradient_norm": (norm, jnp.ones(()))}
        if guarding is not None and isinstance(state, GuardedState):
            diverged, guard = guarding.look(state.guard, metrics["loss"][0] / count, norm)
            before = state.params, state.optimizer
            params, moments = guarding.choose(diverged, (params, moments), before)
            report |= {DIVERGED: (diverged.astype(jnp.float32), jnp.ones(()))}
            state = state._replace(guard=guard)
        values = jnp.stack([jnp.stack(pair) for pair in report.values()])
        state = state._replace(step=state.step + 1, params=params, optimizer=moments)
        return state, StepReport(values, tuple(report))

    return step


def _truncated_gradient(
    model: Model, task: Task, length: int, params: Params, batch: Batch, key: Array
) -> tuple[Params, Metrics]:
    """Sums over segments of ``length`` positions, each with the state before it as a constant."""
    rows, whole = batch.inputs.shape[:2]
    count = whole // length
    segments = jax.tree.map(
        lambda x: jnp.moveaxis(jnp.reshape(x, (rows, count, length, *x.shape[2:])), 1, 0), batch
    )

    def gradient(
        params: Params, segment: Batch, state: State, key: Array
    ) -> tuple[Params, tuple[Metrics, Metrics, State]]:
        def loss_sum(params: Params) -> tuple[Array, tuple[Metrics, Metrics, State]]:
            outputs, after = model.extend(params, segment.inputs, state, key=key)
            metrics = task.metrics(outputs, segment)
            rows = row_metrics(task, outputs, segment) if set(PER_EXAMPLE) & set(metrics) else {}
            rows = {name: rows[name] for name in PER_EXAMPLE if name in rows}
            return metrics["loss"][0], (metrics, rows, after)

        return jax.grad(loss_sum, has_aux=True)(params)

    def add(carry, part):
        total, wholes, state = carry
        gradients, (metrics, rows, state) = gradient(params, part[0], state, part[1])
        total = jax.tree.map(jnp.add, total, (gradients, metrics))
        return (total, join_parts(wholes, rows), state), None

    keys = jax.random.split(key, count)
    first = jax.tree.map(lambda x: x[0], segments)
    # The first segment is read as a whole; from the second on the state has one structure.
    state = model.start(params, rows, whole, key=key)
    gradients, (metrics, wholes, state) = gradient(params, first, state, keys[0])
    carry = ((gradients, metrics), wholes, state)
    rest = jax.tree.map(lambda x: x[1:], (segments, keys))
    ((gradients, metrics), wholes, _), _ = jax.lax.scan(add, carry, rest)
    return gradients, metrics | jax.tree.map(jnp.sum, wholes)


def jit_train_step(
    model: Model,
    task: Task,
    optimizer: Optimizer,
    accumulate: int,
    seed: int,
    mesh: Mesh,
    truncate: int | None = None,
    guarding: Guarding | None = None,
    fully_sharded: bool = False,
) -> Any:
    """The training step jitted over a mesh, its state where each array lies, and donated.

    The batch is taken from where it lies (:func:`~seqmodels.training.sharding.put_batch`).
    """
    step = make_train_step(model, task, optimizer, accumulate, seed, truncate, guarding)
    new = partial(initial_state, model, optimizer, seed, guarding=guarding)
    state = with_shardings(jax.eval_shape(new), model.parameters, mesh, fully_sharded)
    where = jax.tree.map(lambda leaf: leaf.sharding, state)
    jitted = jax.jit(
        traced_under(mesh, step),
        donate_argnums=0,
        in_shardings=(where, None, replicated(mesh)),
        out_shardings=(where, replicated(mesh)),
    )
    return WithGiven(jitted, Given.of(optimizer, seed), mesh)


def jit_evaluation_step(model: Model, task: Task, mesh: Mesh) -> Any:
    """Sums and counts of a batch's metrics, without dropout: jitted for a mesh.

    Every process gets the metrics.
    """

    def step(params: Params, batch: Batch) -> Metrics:
        return model_metrics(model, task, params, batch, None)

    return jax.jit(traced_under(mesh, step), out_shardings=replicated(mesh))
