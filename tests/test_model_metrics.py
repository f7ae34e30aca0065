"""Scores that are made and measured by chunks of positions: the same numbers, in less memory."""

import math
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels import model_metrics as subject
from seqmodels.evaluation.scoring import whole_scorer
from seqmodels.model import build_model
from seqmodels.model_metrics import model_metrics
from seqmodels.scaling.programs import RandomBytes
from seqmodels.tasks.base import Batch, TaskSpec, classification_metrics, exact_match_metrics
from seqmodels.training.optimizer import make_optimizer
from seqmodels.training.sharding import by_row, make_mesh, replicated, traced_under
from seqmodels.training.step import initial_state, jit_evaluation_step, jit_train_step
from tests.drawn_parameters import draw_parameters

CONV = {"depth": 1, "pattern": ("conv",), "mixers": {"conv": {"kind": "convolution", "kernel": 3}}}


class Labels(RandomBytes):
    """A label at each position."""

    def __init__(self, outputs: int, metrics=exact_match_metrics):
        self.spec = TaskSpec("many-to-many", "tokens", outputs, outputs, True)  # type: ignore[misc]
        self.metrics = metrics


class Head:
    """A model whose vectors are parameters, and labels of three rows.

    All that the first row says is right, and in the second what is wrong doesn't count.
    """

    def __init__(self, length: int, **section):
        model = build_model({"width": 8} | CONV | section, Labels(11).spec)
        random, dtype = np.random.default_rng(length), section.get("dtype", "float32")
        x = jnp.asarray(random.normal(size=(3, length, 8)), dtype)
        self.params = {"x": x, "rest": draw_parameters(model)}
        self.model = model._replace(
            vectors=lambda params, batch, key=None: params["x"],
            score=lambda params, x: model.score(params["rest"], x),
        )
        scores = jax.jit(self.model.score)(self.params, x)
        targets = np.array(jnp.argmax(scores, axis=-1), np.int32)
        weights = np.ones((3, length), np.float32)
        targets[1:, 2], weights[1, 2], weights[2, :2] = (targets[1:, 2] + 1) % 11, 0, 0
        self.batch = Batch(targets, targets, weights)


@pytest.fixture
def chunks(monkeypatch):
    """Chunks of two positions of three rows, once it is called."""

    def begin() -> None:
        monkeypatch.setattr(subject, "scores_at_once", lambda: 2 * 3 * 11)

    return begin


def assert_same(found, expected, exact: float) -> None:
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert one.dtype == other.dtype
        one, other = (np.asarray(leaf, np.float64) for leaf in (one, other))
        assert np.linalg.norm(one - other) <= exact * np.linalg.norm(other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("length", "section", "devices", "exact"),
    [
        pytest.param(13, {}, 1, 1e-6, id="padded"),
        pytest.param(24, {"tied_embeddings": True}, 1, 1e-6, id="tied"),
        pytest.param(26, {}, 3, 1e-6, id="shared-out"),
        # Each chunk's gradient is rounded, and what ties is right in one program alone.
        pytest.param(13, {"dtype": "bfloat16"}, 1, 0.02, id="bfloat16"),
    ],
)
def test_chunks_have_the_metrics_and_gradients_of_the_whole(
    chunks, length, section, devices, exact
):
    of, task, mesh = Head(length, **section), Labels(11), make_mesh(devices)

    def loss(params):
        metrics = model_metrics(of.model, task, params, of.batch, None)
        return metrics["loss"][0], metrics

    @partial(jax.jit, in_shardings=replicated(mesh))
    def both(params):
        whole = jax.grad(lambda params: loss(params), has_aux=True)(params)
        chunks()
        return whole, jax.grad(loss, has_aux=True)(params)

    (whole, expected), (gradients, metrics) = traced_under(mesh, both)(of.params)
    assert jnp.linalg.norm(gradients["x"].astype(jnp.float32)) > 0.1
    assert_same(gradients, whole, exact)
    if section.get("dtype") == "bfloat16":
        expected, metrics = expected["loss"], metrics["loss"]
    else:
        assert metrics["exact_match"] == (2, 3)
    assert_same(metrics, expected, exact)


@pytest.mark.slow
def test_rows_and_targets_score_in_chunks_what_they_score_in_the_whole(chunks):
    of, task, mesh = Head(13), Labels(11), make_mesh(1)
    whole = whole_scorer(of.model, task, mesh, True)(of.params, of.batch)
    chunks()
    found = whole_scorer(of.model, task, mesh, True)(of.params, of.batch)
    assert found.targets["loss"][0].shape == (3, 13)
    assert_same(found, whole, 1e-6)


L, V = 1500, 4096


def compiled(devices: int):
    """The training step and the evaluation step on rows of so many scores."""
    task = Labels(V, classification_metrics)
    model = build_model({"width": 8} | CONV, task.spec)
    optimizer, mesh = (
        make_optimizer({"learning_rate": 0.1}, 10, model.parameters),
        make_mesh(devices),
    )
    state = jax.eval_shape(partial(initial_state, model, optimizer, 0))
    batch = task.batch("train", 0, devices, L)
    train = jit_train_step(model, task, optimizer, 1, 0, mesh).lower(state, batch).compile()

    def placed(tree, where):
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), tree)

    given = placed(state.params, replicated(mesh)), placed(batch, by_row(mesh))
    return train, jit_evaluation_step(model, task, mesh).lower(*given).compile()


@pytest.mark.slow
def test_no_step_holds_all_scores():
    for program in compiled(1):
        assert program.memory_analysis().temp_size_in_bytes < L * V * 4 / 2
        shapes = re.findall(r"f32\[([\d,]+)\]", program.as_text())
        assert max(math.prod(map(int, shape.split(","))) for shape in shapes) < L * V / 2


@pytest.mark.slow
def test_devices_add_up_the_gradient_once():
    """After the last chunk; and no row goes from one device to another."""
    train, _ = compiled(2)
    parts = re.split(r"\n(?=\S)", train.as_text())
    whole = next(part for part in parts if part.startswith("ENTRY"))
    assert "all-reduce" in whole
    moves = ["all-to-all", "all-gather", "collective-permute"]
    assert [name for name in moves if name in train.as_text()] == []
    assert [part[:80] for part in parts if "all-reduce" in part and part != whole] == []
