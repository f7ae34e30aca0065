"""The training step: one golden value, and the same step in other shapes."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh
from ml_collections import ConfigDict

from seqmodels.arrays import Params
from seqmodels.model import build_model
from seqmodels.parameters import About
from seqmodels.tasks.base import Batch, TaskSpec, classification_metrics
from seqmodels.training.experiment import Experiment, build_experiment
from seqmodels.training.optimizer import Optimizer, make_optimizer
from seqmodels.training.sharding import make_mesh, put_batch, replicated
from seqmodels.training.step import (
    Given,
    StepReport,
    TrainState,
    initial_state,
    jit_train_step,
    make_train_step,
)
from tests.soaking import soak_only

ATTENTION = {"kind": "attention", "heads": 2, "window": 5, "positions": "rotary"}

OPTIMIZER = {"learning_rate": 1e-2, "weight_decay": 0.1}


def optimizer_of(parameters) -> Optimizer:
    """The same for any parameters."""
    return make_optimizer(OPTIMIZER, 10, parameters)


def experiment(**model) -> Experiment:
    """Attention and an MLP on recall, small enough to compile in a few seconds."""
    section = {
        "width": 16,
        "depth": 1,
        "pattern": ("local",),
        "mixers": {"local": ATTENTION},
        "mlp": "gelu",
        "mlp_expansion": 2.0,
        "dropout": 0.0,
    }
    train = {"steps": 10, "batch_size": 16, "length": 16, "accumulate": 1}
    return build_experiment(
        ConfigDict(
            {
                "seed": 0,
                "task": {"kind": "recall", "vocabulary": 16, "pairs": 2, "evaluation_examples": 40},
                "model": section | model,
                "optimizer": OPTIMIZER,
                "train": train | {"log_every": 1, "evaluate_every": 1},
            }
        )
    )


@pytest.fixture(scope="module")
def of() -> Experiment:
    return experiment()


@pytest.fixture(scope="module")
def before(of) -> TrainState:
    """The state before the first step, on the host; dropout adds nothing to it."""
    new_state = partial(initial_state, of.model, of.optimizer, of.seed)
    return jax.device_get(jax.jit(new_state)())


@pytest.fixture(scope="module")
def one_step(of, before) -> Callable[..., tuple[TrainState, StepReport]]:
    """The first step of training; each number of devices and micro-batches is compiled once."""

    @cache
    def compiled(devices: int, accumulate: int) -> tuple[Mesh, Callable]:
        mesh = jax.make_mesh(
            (devices,),
            ("data",),
            axis_types=(jax.sharding.AxisType.Auto,),
            devices=jax.devices()[:devices],
        )
        return mesh, jit_train_step(of.model, of.task, of.optimizer, accumulate, of.seed, mesh)

    def one_step_(
        devices: int = 1, accumulate: int = 1, batch: Batch | None = None
    ) -> tuple[TrainState, StepReport]:
        mesh, step = compiled(devices, accumulate)
        state = jax.device_put(jax.tree.map(np.copy, before), replicated(mesh))
        batch = batch or of.task.batch("train", 0, of.train.batch_size, of.train.length)
        after, report = step(state, put_batch(batch, mesh))
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state)), "donated, not copied"
        return after, report

    return one_step_


@pytest.fixture(scope="module")
def expected(one_step) -> tuple[TrainState, StepReport]:
    """The first step in its simplest form: one device, one micro-batch."""
    return one_step()


@pytest.fixture(scope="module")
def step_with_dropout(before) -> Callable[[int, int], tuple[TrainState, StepReport]]:
    """A step on the first batch, by its seed and its number."""
    of = experiment(dropout=0.25)
    batch = of.task.batch("train", 0, of.train.batch_size, of.train.length)

    @cache
    def compiled(seed: int) -> Callable:
        return jax.jit(make_train_step(of.model, of.task, of.optimizer, 1, seed))

    return lambda seed, number: compiled(seed)(before._replace(step=np.int32(number)), batch)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adamw", "schedule_free"])
def test_seeds_and_rates_share_a_program(kind):
    """Nothing of them is a constant of it, and each has its own step by it."""
    of, mesh = experiment(dropout=0.25), make_mesh(1)

    def made(seed: int, peak: float, final: float) -> tuple[str, Any]:
        rates = {"learning_rate": peak, "final_learning_rate": final}
        schedule = {"schedule": {"kind": "linear"}}
        settings = {"kind": kind, **OPTIMIZER, **rates, **schedule}
        optimizer = make_optimizer(settings, 10, of.model.parameters)
        step = jit_train_step(of.model, of.task, optimizer, 1, seed, mesh)
        state = jax.eval_shape(partial(initial_state, of.model, optimizer, seed))
        lowered = step.lower(state, of.task.batch("train", 0, 16, 16))
        return lowered.as_text(), Given.of(optimizer, seed)

    (one, given), (other, others) = made(0, 1e-3, 0.0), made(2**31, 3e-3, 1e-4)
    assert one == other
    assert (given.peak, given.final, others.peak, others.final) == (
        *(np.float32(1e-3), np.float32(0)),
        *(np.float32(3e-3), np.float32(1e-4)),
    )
    assert (given.key != others.key).any()


GOLDEN = {
    "loss": 3.310285,
    "gradient norm": 1.506970,
    "first moments": 0.133152,
    "second moments": 0.000836466,
    "parameters": 0.506404,
}


def checksum(tree) -> float:
    """A sum in which each number has its own weight, so that none can trade places."""
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])
    return float(np.cos(np.arange(flat.size)) @ flat)


@pytest.mark.slow
def test_golden_step(step_with_dropout):
    """Fixed seed, dropout on: the loss, the gradient and the update are what they were."""
    state, report = step_with_dropout(0, 0)
    metrics = report.read()
    total, count = metrics["loss"]
    found = {
        "loss": total / count,
        "gradient norm": metrics["gradient_norm"][0],
        "first moments": checksum(optax.tree.get(state.optimizer, "mu")),
        "second moments": checksum(optax.tree.get(state.optimizer, "nu")),
        "parameters": checksum(state.params),
    }
    assert found == pytest.approx(GOLDEN, rel=1e-3), (
        "The first training step gives other numbers. If you meant to change the mathematics of "
        "a layer, of the initial weights, of recall, of dropout or of the optimizer, put "
        f"{found} into GOLDEN and say so in CHANGELOG.md: older runs can't be reproduced any "
        "more. If you did not mean to, the change is a bug."
    )


def assert_same_step(a, b):
    """The same up to the order of sums.

    AdamW's first update is about the gradient's sign times the learning rate, 0.01: where
    the gradient is next to nothing its rounding shows. The moments show the gradient itself.
    """
    (state, report), (other_state, other_report) = jax.device_get((a, b))
    assert report.names == other_report.names

    def assert_close(x, y, **tolerance):
        jax.tree.map(lambda p, q: np.testing.assert_allclose(p, q, **tolerance), x, y)

    assert_close(report.values, other_report.values, rtol=1e-5)
    assert_close(state.optimizer, other_state.optimizer, rtol=1e-4, atol=1e-7)
    assert_close(state.params, other_state.params, rtol=1e-4, atol=1e-3)


@pytest.mark.slow
def test_four_micro_batches_are_one_batch(one_step, expected):
    assert_same_step(one_step(accumulate=4), expected)


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, soak_only(2)])
def test_eight_devices_are_one(one_step, expected, accumulate):
    assert_same_step(one_step(devices=8, accumulate=accumulate), expected)


@pytest.mark.slow
def test_rows_without_weight_count_nowhere(of, one_step):
    """A batch of which the last rows fill up: on 8 devices, some have nothing but those."""
    full = of.task.batch("train", 0, 16, 16)
    weights = np.where(np.arange(16)[:, None] < 5, full.weights, 0)
    other = full._replace(weights=weights, inputs=np.where(weights[:, :1] > 0, full.inputs, 3))
    simple = one_step(batch=full._replace(weights=weights))
    assert simple[1].read()["loss"][1] == 10
    assert_same_step(one_step(devices=8, accumulate=2, batch=other), simple)


@pytest.mark.slow
def test_dropout_follows_from_seed_and_step(step_with_dropout):
    norms = [
        [step_with_dropout(seed, number)[1].read()["gradient_norm"][0] for number in (0, 1, 0)]
        for seed in (0, 1)
    ]
    assert [first for first, _, _ in norms] == [again for _, _, again in norms]
    assert len({norm for of_seed in norms for norm in of_seed}) == 4


def test_every_micro_batch_drops_by_itself(of):
    """Independent draws add up like their squares; the same one k times like k squared."""
    size, k = 10_000, 4

    def draw(params, batch, key):
        return (params["w"] * jax.random.normal(key, (size,)))[None]

    model = of.model._replace(
        init=lambda key: {"w": jnp.ones(size)}, vectors=draw, score=lambda params, x: x
    )
    optimizer = optimizer_of({"w": About(("D",), decays=False)})
    state = initial_state(model, optimizer, 0)
    step = jax.jit(make_train_step(model, Sum(), optimizer, k, 0))
    batch = Batch(*(np.zeros((k, 1), dtype) for dtype in (np.int32, np.int32, np.float32)))
    norm, _ = step(state, batch)[1].read()["gradient_norm"]
    assert norm**2 / size == pytest.approx(k, rel=0.1)


@pytest.mark.slow
def test_a_device_keeps_its_rows_in_every_micro_batch(of):
    """Gradients are added up between devices; no row of a batch goes from one to another."""
    mesh = make_mesh(2)
    step = jit_train_step(of.model, of.task, of.optimizer, 2, 0, mesh)
    state = jax.eval_shape(partial(initial_state, of.model, of.optimizer, 0))
    program = step.lower(state, of.task.batch("train", 0, 16, 16)).compile().as_text()
    assert "all-reduce" in program
    moves = [name for name in ("all-to-all", "all-gather", "collective-permute") if name in program]
    assert moves == []


def test_the_update_is_clipped_and_moves_every_parameter(before, expected):
    after, report = expected
    assert report.read()["gradient_norm"][0] > 1
    first_moments = optax.tree.get(after.optimizer, "mu")
    norm = np.sqrt(sum(np.sum(np.square(m)) for m in jax.tree.leaves(first_moments)))
    assert norm == pytest.approx(0.1, rel=1e-4)  # (1 - beta1) * clip_norm
    assert after.step == 1
    moved = jax.tree.map(lambda a, b: bool((np.asarray(a) != b).any()), after.params, before.params)
    assert all(jax.tree.leaves(moved)), moved


class NextToken:
    """A task whose every position has a target, for segments."""

    spec = TaskSpec("many-to-many", "tokens", 16, 16, True, "accuracy", True)

    def batch(self, split, step, batch_size, length):
        raise NotImplementedError

    def examples(self, split, length):
        raise NotImplementedError

    def metrics(self, outputs, batch):
        return classification_metrics(outputs, batch)

    def chance(self, split, length):
        raise NotImplementedError


class Sum(NextToken):
    """A task whose loss is the sum of what the model says, of one batch in all."""

    def metrics(self, outputs, batch):
        return {"loss": (jnp.sum(outputs), jnp.float32(len(batch.inputs) / 4))}


class Truncated:
    """Two layers of GRU on twelve positions, and what one step makes of their parameters."""

    def __init__(self):
        mixers = {"pattern": ("gru",), "mixers": {"gru": {"kind": "gru"}}}
        self.model = build_model({"width": 8, "depth": 2, **mixers}, NextToken.spec)
        self.optimizer = optimizer_of(self.model.parameters)
        random = np.random.default_rng(0)
        inputs, targets = random.integers(0, 16, (2, 4, 12)).astype(np.int32)
        self.batch = Batch(inputs, targets, np.ones((4, 12), np.float32))
        self.before = jax.jit(lambda: initial_state(self.model, self.optimizer, 0))()
        self.after = cache(self._after)

    def _after(self, length: int | None) -> tuple[Params, float]:
        """The parameters after one step that truncates at a length, and the loss."""
        step = make_train_step(self.model, NextToken(), self.optimizer, 1, 0, length)
        after, report = jax.jit(step)(self.before, self.batch)
        total, count = report.read()["loss"]
        return jax.device_get(after.params), total / count

    def by_hand(self, segments: int) -> tuple[Params, float]:
        """The same, with gradients of stop_gradient's making."""

        def loss(params):
            state, total = self.model.start(params, 4, 12), 0.0
            for part in np.split(np.arange(12), segments):
                segment = jax.tree.map(lambda x, part=part: x[:, part], self.batch)
                outputs, state = self.model.extend(
                    params, segment.inputs, jax.lax.stop_gradient(state)
                )
                of_segment = classification_metrics(outputs, segment)["loss"][0]
                total += of_segment / self.batch.weights.sum()
            return total

        @jax.jit
        def update(before):
            value, gradients = jax.value_and_grad(loss)(before.params)
            updates, _ = self.optimizer.transformation.update(
                gradients, before.optimizer, before.params
            )
            return optax.apply_updates(before.params, updates), value

        return jax.device_get(update(self.before))


@pytest.fixture(scope="module")
def truncated() -> Truncated:
    return Truncated()


@pytest.mark.slow
@pytest.mark.parametrize("segments", [soak_only(1), 3])
def test_truncated_gradient_stops_between_segments(truncated, segments):
    (after, loss), (by_hand, value) = truncated.after(12 // segments), truncated.by_hand(segments)
    np.testing.assert_allclose(loss, value, rtol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), after, by_hand
    )


@pytest.mark.slow
def test_truncation_changes_the_gradient_and_a_whole_segment_does_not(truncated):
    whole, one_segment, three = (truncated.after(length)[0] for length in (None, 12, 4))
    leaves = [jax.tree.leaves(x) for x in (whole, one_segment, three)]
    for a, b in zip(leaves[0], leaves[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert max(np.abs(a - b).max() for a, b in zip(leaves[0], leaves[2], strict=True)) > 1e-3
