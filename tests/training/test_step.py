"""The training step: one golden value, and the same step in other shapes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from seqmodels.experiment import Experiment, build_experiment
from seqmodels.model import build_model
from seqmodels.tasks.base import Batch, TaskSpec, classification_metrics
from seqmodels.training.sharding import make_mesh, put_batch, replicated
from seqmodels.training.step import (
    StepReport,
    TrainState,
    initial_state,
    jit_train_step,
    make_train_step,
)

ATTENTION = {"kind": "attention", "heads": 2, "window": 5, "positions": "rotary"}


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
    optimizer = {
        "learning_rate": 1e-2,
        "warmup_steps": 0,
        "final_learning_rate": 0.0,
        "weight_decay": 0.1,
        "beta1": 0.9,
        "beta2": 0.98,
        "clip_norm": 1.0,
    }
    train = {"steps": 10, "batch_size": 16, "length": 16, "accumulate": 1}
    return build_experiment(
        ConfigDict(
            {
                "seed": 0,
                "task": {"kind": "recall", "vocabulary": 16, "pairs": 2, "evaluation_examples": 40},
                "model": section | model,
                "optimizer": optimizer,
                "train": train | {"log_every": 1, "evaluate_every": 1},
            }
        )
    )


def one_step(
    of: Experiment, devices: int = 1, accumulate: int = 1, batch: Batch | None = None
) -> tuple[TrainState, StepReport]:
    """The first step of training."""
    mesh = jax.make_mesh(
        (devices,),
        ("data",),
        axis_types=(jax.sharding.AxisType.Auto,),
        devices=jax.devices()[:devices],
    )
    step = jit_train_step(of.model, of.task, of.optimizer, accumulate, of.seed, mesh)
    new_state = partial(initial_state, of.model, of.optimizer, of.seed)
    state = jax.jit(new_state, out_shardings=replicated(mesh))()
    batch = batch or of.task.batch("train", 0, of.train.batch_size, of.train.length)
    after, report = step(state, put_batch(batch, mesh))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state)), "donated, not copied"
    return after, report


@pytest.fixture(scope="module")
def of() -> Experiment:
    return experiment()


@pytest.fixture(scope="module")
def expected(of) -> tuple[TrainState, StepReport]:
    """The first step in its simplest form: one device, one micro-batch."""
    return one_step(of)


GOLDEN = {
    "loss": 3.329884,
    "gradient norm": 1.542056,
    "first moments": 0.00653803,
    "second moments": 0.00225985,
    "parameters": 2.897024,
}


def checksum(tree) -> float:
    """A sum in which each number has its own weight, so that none can trade places."""
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])
    return float(np.cos(np.arange(flat.size)) @ flat)


def test_golden_step():
    """Fixed seed, dropout on: the loss, the gradient and the update are what they were."""
    state, report = one_step(experiment(dropout=0.25))
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
def test_four_micro_batches_are_one_batch(of, expected):
    assert_same_step(one_step(of, accumulate=4), expected)


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_eight_devices_are_one(of, expected, accumulate):
    assert_same_step(one_step(of, devices=8, accumulate=accumulate), expected)


@pytest.mark.slow
def test_rows_without_weight_count_nowhere(of):
    """A batch of which the last rows fill up: on 8 devices, some have nothing but those."""
    full = of.task.batch("train", 0, 16, 16)
    weights = np.where(np.arange(16)[:, None] < 5, full.weights, 0)
    other = full._replace(weights=weights, inputs=np.where(weights[:, :1] > 0, full.inputs, 3))
    simple = one_step(of, batch=full._replace(weights=weights))
    assert simple[1].read()["loss"][1] == 10
    assert_same_step(one_step(of, devices=8, accumulate=2, batch=other), simple)


@pytest.mark.slow
def test_dropout_follows_from_seed_and_step():
    of = experiment(dropout=0.5)
    state, batch = initial_state(of.model, of.optimizer, 0), of.task.batch("train", 0, 16, 16)
    norms = []
    for seed in (0, 1):
        step = jax.jit(make_train_step(of.model, of.task, of.optimizer, 1, seed))
        for number in (0, 1, 0):
            report = step(state._replace(step=jnp.int32(number)), batch)[1]
            norms.append(report.read()["gradient_norm"][0])
    assert norms[0] == norms[2]
    assert len(set(norms)) == 4


def test_every_micro_batch_drops_by_itself(of):
    """Independent draws add up like their squares; the same one k times like k squared."""
    size, k = 10_000, 4
    draw = lambda params, batch, key: params["w"] * jax.random.normal(key, (size,))  # noqa: E731
    model = of.model._replace(init=lambda key: {"w": jnp.ones(size)}, apply=draw)
    state = initial_state(model, of.optimizer, 0)
    step = jax.jit(make_train_step(model, Sum(), of.optimizer, k, 0))
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


@pytest.mark.slow
def test_the_update_is_clipped_and_moves_every_parameter(of, expected):
    before = initial_state(of.model, of.optimizer, of.seed)
    after, report = expected
    assert report.read()["gradient_norm"][0] > 1
    first_moments = optax.tree.get(after.optimizer, "mu")
    norm = jnp.sqrt(sum(jnp.sum(m**2) for m in jax.tree.leaves(first_moments)))
    assert norm == pytest.approx(0.1, rel=1e-4)  # (1 - beta1) * clip_norm
    assert after.step == 1
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), after.params, before.params)
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


class Sum(NextToken):
    """A task whose loss is the sum of what the model says, of one batch in all."""

    def metrics(self, outputs, batch):
        return {"loss": (jnp.sum(outputs), jnp.float32(len(batch.inputs) / 4))}


def truncated_and_by_hand(length: int | None, segments: int):
    """The state after one step, and after one with gradients of stop_gradient's making."""
    of = experiment()
    model = build_model(
        {"width": 8, "depth": 2, "pattern": ("gru",), "mixers": {"gru": {"kind": "gru"}}},
        NextToken.spec,
    )
    random = np.random.default_rng(0)
    inputs, targets = random.integers(0, 16, (2, 4, 12)).astype(np.int32)
    batch = Batch(inputs, targets, np.ones((4, 12), np.float32))
    before = initial_state(model, of.optimizer, 0)
    step = make_train_step(model, NextToken(), of.optimizer, 1, 0, length)
    after, report = jax.jit(step)(before, batch)

    def loss(params):
        state, total = model.initial_state(4, 12), 0.0
        for part in np.split(np.arange(12), segments):
            segment = jax.tree.map(lambda x, part=part: x[:, part], batch)
            outputs, state = model.extend(params, segment.inputs, jax.lax.stop_gradient(state))
            total += classification_metrics(outputs, segment)["loss"][0] / batch.weights.sum()
        return total

    value, gradients = jax.value_and_grad(loss)(before.params)
    updates, _ = of.optimizer.transformation.update(gradients, before.optimizer, before.params)
    by_hand = optax.apply_updates(before.params, updates)
    total, count = report.read()["loss"]
    np.testing.assert_allclose(total / count, value, rtol=1e-6)
    return after.params, by_hand


@pytest.mark.parametrize("segments", [1, 3])
def test_truncated_gradient_stops_between_segments(segments):
    after, by_hand = truncated_and_by_hand(12 // segments, segments)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), after, by_hand
    )


def test_truncation_changes_the_gradient_and_a_whole_segment_does_not():
    whole, one_segment, three = (
        truncated_and_by_hand(*of)[0] for of in ((None, 1), (12, 1), (4, 3))
    )
    leaves = [jax.tree.leaves(x) for x in (whole, one_segment, three)]
    for a, b in zip(leaves[0], leaves[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert max(np.abs(a - b).max() for a, b in zip(leaves[0], leaves[2], strict=True)) > 1e-3
