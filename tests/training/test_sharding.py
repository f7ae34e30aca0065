"""Where arrays lie on a mesh, and that a step on one is a step on a single device."""

from functools import cache
from typing import Any

import jax
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, PartitionSpec

from seqmodels.placement import partition
from seqmodels.tasks.base import Batch
from seqmodels.training import sharding as sharding_module
from seqmodels.training.checkpoint import Checkpoints
from seqmodels.training.experiment import Experiment, build_experiment
from seqmodels.training.optimizer import make_optimizer
from seqmodels.training.parameter_files import named
from seqmodels.training.programs import Programs, abstract_state, new_state, step_batch
from seqmodels.training.resolving import load_whole
from seqmodels.training.sharding import (
    batch_shardings,
    make_mesh,
    put_batch,
    traced_under,
    with_shardings,
)
from seqmodels.training.step import TrainState
from tests.command_line import ROOT

SIZES = {"data": 2, "sequence": 2, "model": 4}
SMALL = {
    "model.width": 16,
    "model.depth": 1,
    "task.pattern": 2,
    "train.batch_size": 8,
    "optimizer.warmup_steps": 2,
    "train.steps": 20,
}


@pytest.mark.parametrize(
    ("letters", "shape", "expected"),
    [
        ("BLD", (4, 6, 16), ("data", "sequence")),
        ("BL", (4, 7), ("data",)),  # can't be shared equally
        ("BLHK", (3, 6, 4, 8), (None, "sequence", "model")),
        ("BLGK", (4, 6, 1, 8), ("data", "sequence")),  # heads of keys that are few
        ("BNDKUWC", (4,) * 7, ("data",)),
        ("DHK", (16, 8, 2), (None, "model")),
        ("DF", (16, 64), (None, "model")),
        ("FF", (64, 64), ("model",)),  # the first of two
        ("VD", (257, 16), ()),
        ("VD", (256, 16), ("model",)),
        ("E", (8,), ("model",)),
        (("D", "gates", "D"), (16, 4, 16), ()),
        ("BL", (4, 6, 8, 3), ("data", "sequence")),  # further axes, of a grid
        ("BL", (4,), ("data",)),
    ],
)
def test_letters_say_where_an_axis_lies(letters, shape, expected):
    assert partition(letters, shape, SIZES) == PartitionSpec(*expected)
    assert partition(letters, shape, dict.fromkeys(SIZES, 1)) == PartitionSpec()


TOKENS, FEATURES = np.zeros((4, 6), np.int32), np.zeros((4, 6, 5, 3), np.float32)
LABELS, WEIGHTS = np.zeros(4, np.int32), np.zeros((4, 6), np.float32)
ROWS, BOTH = PartitionSpec("data"), PartitionSpec("data", "sequence")


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (Batch(TOKENS, TOKENS, WEIGHTS, TOKENS > 0), Batch(BOTH, BOTH, BOTH, BOTH)),
        (Batch(TOKENS, LABELS, WEIGHTS[:, 0]), Batch(BOTH, ROWS, ROWS)),
        (
            Batch(TOKENS, TOKENS[:, :4], WEIGHTS[:, :4], None, TOKENS[:, :4]),
            Batch(BOTH, ROWS, ROWS, None, ROWS),
        ),
        (Batch(TOKENS, TOKENS[:, :5], WEIGHTS[:, :5]), Batch(BOTH, ROWS, ROWS)),
        (Batch(FEATURES, LABELS, WEIGHTS[:, 0]), Batch(BOTH, ROWS, ROWS)),
        (Batch(LABELS, TOKENS, WEIGHTS), Batch(ROWS, BOTH, BOTH)),  # one-to-many
        (Batch(FEATURES[:, 0, 0], TOKENS, WEIGHTS), Batch(ROWS, BOTH, BOTH)),
    ],
)
def test_a_batch_lies_field_by_field(batch, expected):
    mesh = make_mesh(8, sequence=2, model=2)
    assert jax.tree.map(lambda where: where.spec, batch_shardings(batch, mesh)) == expected
    assert jax.tree.map(lambda x: x.sharding.spec, put_batch(batch, mesh)) == expected


EIGHT = {"sequence": 2, "model": 2}
SHARDED = EIGHT | {"fully_sharded": True}


@cache
def experiment(mixer: str = "transformer", **mesh: Any) -> Experiment:
    """A small model of the copy task, with 4 heads."""
    keys = SMALL | {f"mesh.{name}": value for name, value in mesh.items()}
    overrides = [(key, str(value)) for key, value in keys.items()]
    spec = f"{ROOT}/configs/copy.py:mixer={mixer},length=8"
    return build_experiment(load_whole(spec, overrides).config)


def on_mesh(**mesh: Any) -> tuple[Experiment, Mesh]:
    """The experiment and eight devices that share it, or one where nothing is to be shared."""
    of, devices = experiment(**mesh), 8 if mesh else 1
    return of, make_mesh(devices, of.mesh.sequence, of.mesh.model)


@cache
def drawn(**mesh: Any) -> TrainState:
    """The state before the first step, as it is made."""
    return new_state(*on_mesh(**mesh))


@cache
def trained(**mesh: Any) -> tuple[TrainState, list[TrainState], list[float]]:
    """From one state on some steps: where the last one's state lies, all states on the host, and
    the losses."""
    of, where = on_mesh(**mesh)
    like, programs = abstract_state(of, where), Programs(of, where)
    state = jax.device_put(jax.device_get(drawn(**EIGHT)), jax.tree.map(sharding, like))
    programs.compile(state, step_batch(of, where, 0))
    states, losses = [], []
    for number in range(4):
        batch = step_batch(of, where, number)
        state, report = programs[batch.bucket](state, batch.batch)
        states.append(jax.device_get(state))
        total, count = report.read()["loss"]
        losses.append(total / count)
    return state, states, losses


def sharding(leaf: Any) -> jax.sharding.Sharding:
    return leaf.sharding


def mean(state: TrainState) -> Any:
    """AdamW's mean of gradients, which after the first step is in proportion to the first."""
    return optax.tree.get(state.optimizer, "mu")


def distance(found: Any, expected: Any) -> float:
    """Between two trees, relative to the norm of the second."""
    pairs = list(zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True))
    apart = sum(np.sum(np.square(np.asarray(a, np.float64) - b)) for a, b in pairs)
    return float(np.sqrt(apart / sum(np.sum(np.square(np.float64(b))) for _, b in pairs)))


def test_scores_of_a_mesh_are_those_of_one_device():
    def scores(**mesh: Any) -> np.ndarray:
        of, where = on_mesh(**mesh)
        params = with_shardings(drawn(**EIGHT).params, of.model.parameters, where)
        params = jax.device_put(drawn(**EIGHT).params, jax.tree.map(sharding, params))
        batch = put_batch(of.task.batch("train", 0, 8, of.train.length), where)
        return np.asarray(jax.jit(traced_under(where, of.model.apply))(params, batch, None))

    assert distance(scores(**EIGHT), scores()) < 1e-5


def test_steps_on_a_mesh_are_those_of_one_device():
    """The gradients, and what updates make of them."""
    last, states, losses = trained(**SHARDED)
    _, expected, one_losses = trained()
    assert distance(mean(states[0]), mean(expected[0])) < 1e-5
    np.testing.assert_allclose(losses, one_losses, rtol=1e-4)
    assert distance(states[-1].params, expected[-1].params) < 1e-3
    assert jax.tree.map(sharding, last) == jax.tree.map(sharding, drawn(**SHARDED))


def places(tree: Any) -> dict[str, tuple]:
    """Of parameters how they are split, and the shape of a part."""
    return {
        name: (tuple(leaf.sharding.spec), leaf.addressable_shards[0].data.shape)
        for name, leaf in named(tree).items()
    }


LIES = {
    "embedding.table": (("model",), (5, 16)),
    "blocks.0.mixer.queries.weights": ((None, "model"), (16, 2, 4)),
    "blocks.0.mixer.queries.bias": (("model",), (2, 4)),
    "blocks.0.mixer.outputs.weights": (("model",), (2, 4, 16)),
    "blocks.0.mixer.outputs.bias": ((), (16,)),
    "blocks.0.mlp.inputs.weights": ((None, "model"), (16, 32)),
    "blocks.0.mlp.outputs.weights": (("model",), (32, 16)),
    "blocks.0.mixer_norm.norm.scale": ((), (16,)),
}
LIES_SHARDED = {
    "embedding.table": (("model", "data"), (5, 8)),
    "blocks.0.mixer.queries.weights": (("data", "model"), (8, 2, 4)),
    "blocks.0.mixer.queries.bias": (("model", "data"), (2, 2)),
    "blocks.0.mixer.outputs.weights": (("model", None, "data"), (2, 4, 8)),
    "blocks.0.mixer.outputs.bias": (("data",), (8,)),
    "blocks.0.mlp.inputs.weights": (("data", "model"), (8, 32)),
    "blocks.0.mlp.outputs.weights": (("model", "data"), (32, 8)),
    "blocks.0.mixer_norm.norm.scale": (("data",), (8,)),
}


@pytest.mark.parametrize(("mesh", "expected"), [(EIGHT, LIES), (SHARDED, LIES_SHARDED)])
def test_parameters_and_moments_are_made_where_they_lie(mesh, expected):
    state = drawn(**mesh)
    for tree in (state.params, mean(state)):
        assert places(tree).items() >= expected.items()
    jax.tree.map(np.testing.assert_array_equal, state, drawn(**EIGHT))


@pytest.mark.parametrize("kind", ["adamw", "muon", "schedule_free", "sgd", "lion"])
def test_what_an_optimizer_keeps_lies_as_its_parameter(kind):
    """Wherever it keeps it; numbers of steps lie on each device."""
    of, mesh = on_mesh(**EIGHT)
    settings = {"kind": kind, "learning_rate": 1e-3, "average": None if "free" in kind else 0.9}
    optimizer = make_optimizer(settings, 20, of.model.parameters)
    shapes = jax.eval_shape(lambda: of.model.init(jax.random.key(0)))
    kept = jax.eval_shape(optimizer.transformation.init, shapes)
    params = named(with_shardings(shapes, of.model.parameters, mesh))
    count = 0
    for name, leaf in named(with_shardings(kept, of.model.parameters, mesh)).items():
        of_parameter = [key for key in params if name.endswith(f".{key}")]
        expected = params[of_parameter[0]].sharding.spec if of_parameter else PartitionSpec()
        assert leaf.sharding.spec == expected, name
        count += len(of_parameter)
    assert count >= len(params), "an average, a mean or a sum of each"


def test_the_update_of_large_parameters_is_shared(monkeypatch):
    """What is kept of them lies by rows too, and they themselves do not."""
    monkeypatch.setattr(sharding_module, "LARGE", 1024)
    state = abstract_state(*on_mesh(**EIGHT))
    large = "blocks.0.mlp.inputs.weights", "blocks.0.mlp.outputs.weights"
    for name, leaf in named(mean(state)).items():
        found = named(state.params)[name].sharding.spec
        assert (leaf.sharding.spec != found) == (name in large), name
    assert named(mean(state))[large[0]].sharding.spec == PartitionSpec("data", "model")


def test_a_recurrence_that_is_not_linear_stays_whole():
    of, mesh = on_mesh(mixer="slstm", **EIGHT)
    for name, leaf in named(abstract_state(of, mesh).params).items():
        assert "mixer" not in name or leaf.sharding.spec == PartitionSpec(), name


@pytest.mark.parametrize(
    ("mixer", "axes"),
    [
        ("transformer", [("data", "sequence", "model")]),  # B L H K
        ("slstm", [("data",)]),
        ("mamba2", [("data", "model")]),  # B H N U
    ],
)
def test_blocks_read_and_keep_what_lies_where_its_letters_say(mixer, axes):
    """All are held there, whatever the compiler would choose."""
    of, mesh = on_mesh(mixer=mixer, **EIGHT)
    model = of.model

    def read(params: Any, tokens: Any) -> Any:
        return model.extend(params, tokens, model.start(params, len(tokens), tokens.shape[1]))

    shapes = abstract_state(of, mesh).params
    jaxpr = jax.make_jaxpr(traced_under(mesh, read))(shapes, np.zeros((8, 8), np.int32))
    held = {
        tuple(equation.params["sharding"].spec)
        for equation in jaxpr.jaxpr.eqns
        if equation.primitive.name == "sharding_constraint"
    }
    assert held - {("model",)} == {("data", "sequence"), *axes}, (
        "the table's, the vectors', states'"
    )


def test_a_checkpoint_is_restored_on_any_mesh(tmp_path):
    """Bitwise, each array where it lies there."""
    checkpoints = Checkpoints(tmp_path, "accuracy", True, pytest.fail)
    checkpoints.save(drawn(**SHARDED), 0, None)
    checkpoints.wait()
    for mesh in ({}, EIGHT, {"data": 8}):
        of, where = on_mesh(**mesh)
        like = abstract_state(of, where)
        _, restored = checkpoints.restore("latest", like, of.model.parameters)
        assert jax.tree.map(sharding, restored) == jax.tree.map(sharding, like)
        jax.tree.map(np.testing.assert_array_equal, restored, drawn(**SHARDED))
    checkpoints.close()
