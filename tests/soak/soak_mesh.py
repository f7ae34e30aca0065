"""Every mixer on meshes of eight devices, against one device; and runs that change their mesh."""

import random
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from seqmodels.arrays import Array
from seqmodels.model import Model, build_model
from seqmodels.model_metrics import model_metrics
from seqmodels.scaling.collectives import traffic
from seqmodels.tasks.base import Batch, TaskSpec, classification_metrics
from seqmodels.training.experiment import build_experiment
from seqmodels.training.fit import fit
from seqmodels.training.interruption import RunInterruptedError
from seqmodels.training.programs import Programs, new_state, step_batch
from seqmodels.training.resolving import read_config
from seqmodels.training.sharding import (
    batch_shapes,
    make_mesh,
    put_batch,
    traced_under,
    with_shardings,
)
from tests.command_line import events, finish, start, tiny_config, train_command
from tests.mixers.variants import CASES
from tests.moments import at, terminate
from tests.ops.ordering import unordered
from tests.training.test_processes import free_port
from tests.training.test_sharding import distance

MESHES = {"8": (1, 1), "2x4": (4, 1), "2x2x2": (2, 2)}
"""By data, sequence and model the devices that share positions and features; the rest rows."""
ROWS, LENGTH, TOKENS = 8, 64, 16
WIDTH = 16
"""With heads of 8 features, or more: of 4, keys come so near to 0 that what they are divided by has
few digits."""
STEPS = 20


class NextToken:
    """A task whose every position has a target."""

    def __init__(self, causal: bool):
        kind = "many-to-many", "tokens", TOKENS, TOKENS, causal, "accuracy", True
        self.spec = TaskSpec(*kind)

    def batch(self, split, step, batch_size, length) -> Batch:
        tokens = np.random.default_rng(step).integers(0, TOKENS, (batch_size, length + 1), np.int32)
        weights = np.ones((batch_size, length), np.float32)
        return Batch(tokens[:, :-1], tokens[:, 1:], weights)

    def examples(self, split, length):
        return None

    def metrics(self, outputs, batch):
        return classification_metrics(outputs, batch)

    def chance(self, split, length):
        return 1 / TOKENS


def model_of(name: str) -> tuple[Model, NextToken]:
    """A block of a variant of a mixer, and an MLP."""
    kind, settings = CASES[name]
    own = dict(settings)
    short = own.pop("short", None)
    section: dict[str, Any] = {
        "width": WIDTH,
        "depth": 1,
        "pattern": ("mixer",),
        "mixers": {"mixer": {"kind": kind, **own}},
        "mlp": "gated",
        "mlp_expansion": 2.0,
    }
    if short is not None:
        section |= {"short_convolution": short.kernel, "short_activation": short.activation}
    task = NextToken(causal=False)
    return build_model(section, task.spec, LENGTH), task


def run(name: str, devices: int, sequence: int = 1, model: int = 1) -> dict[str, Any]:
    """What a variant makes on a mesh: scores and gradients, and what training by each of two
    optimizers comes to."""
    of, task = model_of(name)
    mesh = make_mesh(devices, sequence, model)
    optimizers = {"sgd": optax.sgd(0.1), "adamw": optax.adamw(1e-3)}

    def loss(params: Any, batch: Batch) -> Array:
        total, count = model_metrics(of, task, params, batch, None)["loss"]
        return total / count

    def gradients(params: Any, batch: Batch) -> Any:
        return of.apply(params, batch, None), jax.grad(loss)(params, batch)

    def train(params: Any, batches: Batch) -> Any:
        """Each of the batches once, by each optimizer."""

        def by(optimizer: Any) -> Any:
            def step(carry: Any, batch: Batch) -> Any:
                params, state = carry
                found, by_params = jax.value_and_grad(loss)(params, batch)
                updates, state = optimizer.update(by_params, state, params)
                return (optax.apply_updates(params, updates), state), found

            (after, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), batches)
            return after, losses

        return {name: by(optimizer) for name, optimizer in optimizers.items()}

    shapes = jax.eval_shape(lambda: of.init(jax.random.key(0)))
    like = with_shardings(shapes, of.parameters, mesh)
    where = jax.tree.map(lambda leaf: leaf.sharding, like)
    params = jax.jit(lambda: of.init(jax.random.key(0)), out_shardings=where)()
    each = [put_batch(task.batch("train", n, ROWS, LENGTH), mesh) for n in range(STEPS)]
    scores, by_params = jax.jit(traced_under(mesh, gradients))(params, each[0])
    batches = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    trained = jax.jit(traced_under(mesh, train))(params, batches)
    return jax.device_get({"scores": scores, "gradients": by_params} | trained)


@pytest.fixture(scope="module")
def on_one_device():
    """What each variant makes on one device; made once."""
    made: dict[str, Any] = {}

    def make(name: str) -> dict[str, Any]:
        if name not in made:
            made.clear()
            made[name] = run(name, 1)
        return made[name]

    return make


@pytest.mark.optimised
@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("name", CASES)
def test_every_mixer_on_a_mesh_equals_one_device(name, mesh, on_one_device):
    expected, found = on_one_device(name), run(name, 8, *MESHES[mesh])
    assert distance(found["scores"], expected["scores"]) < 1e-5
    assert distance(found["gradients"], expected["gradients"]) < 1e-5
    (by_sgd, _), (one_by_sgd, _) = found["sgd"], expected["sgd"]
    assert distance(by_sgd, one_by_sgd) < 1e-5
    np.testing.assert_allclose(found["adamw"][1], expected["adamw"][1], rtol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_devices_that_share_rows_tell_one_another_each_gradient_once(name):
    """And of Hyena's filters, which each device makes as a whole, theirs."""
    of, task = model_of(name)
    params = jax.eval_shape(lambda: of.init(jax.random.key(0)))
    mesh = make_mesh(8)
    batch = batch_shapes(task.batch("train", 0, ROWS, LENGTH), mesh)

    def gradients(params: Any, batch: Batch) -> Any:
        return jax.grad(lambda params: model_metrics(of, task, params, batch, None)["loss"][0])(
            params
        )

    where = with_shardings(params, of.parameters, mesh)
    compiled = jax.jit(traced_under(mesh, gradients)).lower(where, batch).compile()
    assert unordered(compiled) == []
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    size += 2 * LENGTH * WIDTH if CASES[name][0] == "hyena" else 0
    sent = traffic(compiled.as_text())
    assert sent.complete
    assert sent.sent <= 2 * 4 * size


@pytest.mark.parametrize("mesh", [(4, 1), (2, 2), (8, 1)], ids=["2x4", "2x2x2", "1x8"])
@pytest.mark.parametrize("mixer", ["global", "gru", "mamba2", "hyena", "local", "retention"])
def test_a_step_of_several_blocks_sends_in_one_order(mixer, mesh):
    settings = {"train.batch_size": 8, "train.length": 64, "model.depth": 3}
    experiment = build_experiment(read_config(f"recall:mixer={mixer}", settings))
    devices = make_mesh(8, *mesh)
    programs, batch = Programs(experiment, devices), step_batch(experiment, devices, 0)
    programs.compile(new_state(experiment, devices), batch)
    assert unordered(programs[batch.bucket]) == []


SETTINGS: dict[str, Any] = {"steps": 12, "log_every": 1, "evaluate_every": 4, "length": 16}
RUNS = (
    {"sequence": 2, "model": 2},
    {"fully_sharded": True},
    {"sequence": 8},
    {"model": 4, "fully_sharded": True},
)
"""Meshes of eight devices that follow one another."""


def test_a_run_goes_on_from_mesh_to_mesh(tmp_path):
    """Stopped at random steps, it has the batches and, to rounding, the losses of one device."""
    config = tiny_config(**SETTINGS).unlock()
    config.model.mlp, config.model.mlp_expansion = "gelu", 2.0
    fit(config, tmp_path / "one", devices=1)
    stops = sorted(random.Random(2027).sample(range(1, SETTINGS["steps"]), len(RUNS) - 1))
    for mesh, stop in zip(RUNS, [*stops, None], strict=True):
        config.mesh.update({"sequence": 1, "model": 1, "fully_sharded": False} | mesh)
        if stop is None:
            fit(config, tmp_path / "many", devices=8)
        else:
            seen = [at("step done", stop, terminate)]
            with pytest.raises(RunInterruptedError):
                fit(config, tmp_path / "many", devices=8, observers=seen)
    for split in ("train", "validation", "test"):
        assert_same_events(tmp_path / "many", tmp_path / "one", split)


def assert_same_events(run: Path, other: Path, split: str) -> None:
    """To rounding."""
    for found, expected in zip(events(run, split), events(other, split), strict=True):
        assert found.pop("split") == expected.pop("split") == split
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_two_processes_share_the_positions_of_a_row(tmp_path):
    """Each has half of the devices, and so of each row: they make the same batches."""
    fit(tiny_config(**SETTINGS), tmp_path / "one", devices=1)
    flags = [f"--config.train.{key}={value}" for key, value in SETTINGS.items()]
    coordinator = f"--coordinator=127.0.0.1:{free_port()}"
    many = tmp_path / "many"
    processes = [
        start(
            [
                *train_command(many, *flags, "--processes=2", f"--process={process}"),
                *(coordinator, "--devices=4", "--mesh=sequence=4,fully_sharded=True"),
            ],
            tmp_path / "cache",
            JAX_NUM_CPU_DEVICES="2",
        )
        for process in (0, 1)
    ]
    for process in processes:
        code, _, errors = finish(process)
        assert code == 0, errors
    assert_same_events(many, tmp_path / "one", "train")
