"""Each example's own metrics, from whole sequences or from chunks with a carried state."""

from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from seqmodels.arrays import AnyArray, Array, Float, Int, Params
from seqmodels.errors import UserError
from seqmodels.model import Model
from seqmodels.model_metrics import measure_model
from seqmodels.tasks.base import Batch, Metrics, Task
from seqmodels.tasks.row_metrics import join_parts, row_metrics
from seqmodels.training.sharding import by_row, put_batch, traced_under


class Scores(NamedTuple):
    """What a batch's examples score, as (sum, count) of each metric."""

    rows: Mapping[str, tuple[AnyArray, AnyArray]]
    """By example: [B]."""
    targets: Mapping[str, tuple[AnyArray, AnyArray]]
    """By single target: [B, P]; empty where nobody asked."""


Scorer = Callable[[Params, Batch], Scores]


def target_metrics(task: Task, outputs: Float[Array, "B P V"], batch: Batch) -> Metrics:
    """The task's metrics of each target by itself: sums and counts [B, P]."""

    def one(inputs: Any, output: Any, target: Any, weight: Any) -> Metrics:
        alone = Batch(inputs[None], target[None, None], weight[None, None])
        return task.metrics(output[None, None], alone)

    each = jax.vmap(jax.vmap(one, (None, 0, 0, 0)))
    return each(jnp.asarray(batch.inputs), outputs, batch.targets, batch.weights)


def whole_scorer(model: Model, task: Task, mesh: jax.sharding.Mesh, by_target: bool) -> Scorer:
    """Scores whole sequences; one program a shape."""

    @jax.jit
    def step(params: Params, batch: Batch) -> Scores:
        measure = partial(_scores, task, by_target)
        return Scores(*measure_model(model, task, params, batch, measure))

    return lambda params, batch: traced_under(mesh, step)(params, put_batch(batch, mesh))


def chunked_scorer(
    model: Model, task: Task, mesh: jax.sharding.Mesh, by_target: bool, chunk: int
) -> Scorer:
    """Scores sequences ``chunk`` positions at a time, from the state that the last chunk left.

    Memory is that of a chunk and of the state. The result is that of :func:`whole_scorer`. One
    program serves all lengths where the state has the same size for all of them: two programs, as
    the first chunk is read as a whole.

    Raises:
      UserError: the model can't be continued from a state to the same scores.
    """
    require_streaming(model)

    @jax.jit
    def collect(params, inputs, valid, state, places, collected):
        inside = (places >= 0) & (places < inputs.shape[1])
        nearest = jnp.clip(places, 0, inputs.shape[1] - 1)
        here, state = model.extend(params, inputs, state, valid, scored=nearest)
        return jnp.where(inside[:, :, None], here, collected), state

    @jax.jit
    def follow(params, batch, valid, state):
        outputs, state = model.extend(params, batch.inputs, state, valid)
        return _scores(task, by_target, outputs, batch), state

    finish = jax.jit(partial(_scores, task, by_target))

    def run(params: Params, batch: Batch) -> Scores:
        rows, length = batch.inputs.shape[:2]
        count = -(-length // chunk)
        lengths = _lengths(batch)
        places = _labelled_places(batch, lengths)
        valid = np.arange(count * chunk)[None] < lengths[:, None]
        # Room for whole chunks, so that fewer programs serve all lengths, where a model has it.
        room = max(length, min(count * chunk, model.facts.longest or count * chunk))
        state = jax.device_put(model.start(params, rows, room, lengths), by_row(mesh))
        parts = []
        collected: Any = None
        if places is not None:
            empty = np.zeros((*places.shape, task.spec.outputs), np.float32)
            collected = jax.device_put(empty, by_row(mesh))
        for index in range(count):
            window = slice(index * chunk, (index + 1) * chunk)
            real = jax.device_put(valid[:, window], by_row(mesh))
            if places is None:
                part = put_batch(jax.tree.map(partial(_cut, window=window), batch), mesh)
                scores, state = traced_under(mesh, follow)(params, part, real, state)
                parts.append(jax.device_get(scores))
            else:
                inputs, here = jax.device_put(
                    (_cut(batch.inputs, window), places - window.start), by_row(mesh)
                )
                collected, state = traced_under(mesh, collect)(
                    params, inputs, real, state, here, collected
                )
        if places is None:
            return _joined(parts, length)
        outputs = collected[:, 0] if task.spec.shape == "many-to-one" else collected
        # Metrics don't look at the inputs, whose length would make one program a length.
        labels = batch._replace(inputs=batch.inputs[:, :1], mask=None, positions=None)
        return finish(outputs, put_batch(labels, mesh))

    return run


def require_streaming(model: Model) -> None:
    """Raises UserError where scores in chunks would not be those of whole sequences."""
    if not model.facts.streams:
        raise UserError(
            "stream=N carries a state from chunk to chunk; that takes causal mixers on a sequence, "
            "scores at each position or at the last (model.pooling='last'), and a task that reads: "
            "leave it out"
        )


def _scores(task: Task, by_target: bool, outputs: Array, batch: Batch) -> Scores:
    outputs = outputs.astype(jnp.float32)
    targets = target_metrics(task, outputs, batch) if by_target else {}
    return Scores(row_metrics(task, outputs, batch), targets)


def _lengths(batch: Batch) -> Int[np.ndarray, "B"]:
    if batch.mask is None:
        return np.full(len(batch.inputs), batch.inputs.shape[1], np.int32)
    mask = np.asarray(batch.mask)
    lengths = mask.sum(axis=1, dtype=np.int32)
    if (mask != (np.arange(mask.shape[1])[None] < lengths[:, None])).any():
        raise UserError("stream=N reads sequences that are padded at their end; leave it out")
    return lengths


def _labelled_places(batch: Batch, lengths: Int[np.ndarray, "B"]) -> np.ndarray | None:
    """The positions whose scores count, [B, P]; None where all do."""
    if batch.positions is not None:
        return np.asarray(batch.positions)
    return lengths[:, None] - 1 if batch.targets.ndim == 1 else None


def _cut(array: Any, window: slice) -> np.ndarray:
    """A window of the positions, filled up with zeros at the end."""
    part = np.asarray(array)[:, window]
    missing = window.stop - window.start - part.shape[1]
    return np.pad(part, ((0, 0), (0, missing), *((0, 0),) * (part.ndim - 2)))


def _joined(parts: list[Scores], length: int) -> Scores:
    by_part: list[Any] = [part.rows for part in parts]
    rows = jax.device_get(reduce(join_parts, by_part))
    targets = {
        metric: tuple(
            np.concatenate([part.targets[metric][i] for part in parts], axis=1)[:, :length]
            for i in (0, 1)
        )
        for metric in parts[0].targets
    }
    return Scores(rows, targets)  # type: ignore[arg-type]
