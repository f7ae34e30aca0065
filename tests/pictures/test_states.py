"""Half-lives and norms of a model's states, against what its parameters say."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from seqmodels.errors import ParameterError
from seqmodels.evaluation.runs import LoadedRun
from seqmodels.model import build_model
from seqmodels.pictures.states import draw_half_lives, draw_norms, half_lives, norms
from seqmodels.tasks.base import Batch, TaskSpec
from seqmodels.training.sharding import make_mesh
from seqmodels.training.workdir import Workdir
from tests.run_folders import drawn

SPEC = TaskSpec("many-to-many", "features", 3, 2, False, "accuracy", True)
TRAINED = 6
MIXERS = {
    "retention": {"kind": "retention", "heads": 2},
    "both": {"kind": "bidirectional", "mixer": {"kind": "lru", "states": 40}},
}


class Task:
    """Noise of any length up to one, whose rows are padded from position 4 on but for the first."""

    spec = SPEC

    def __init__(self, longest: int):
        self.longest = longest

    def batch(self, split, step, rows, length):
        if length > self.longest:
            raise ParameterError(f"length={length} is above {self.longest}")
        x = np.random.default_rng(0).normal(size=(rows, length, 3)).astype(np.float32)
        mask = np.arange(length)[None] < np.where(np.arange(rows) == 0, length, 4)[:, None]
        return Batch(x, np.zeros((rows, length), np.int32), mask.astype(np.float32), mask)


@pytest.fixture(scope="module")
def made():
    """The model's parts, with parameters that are drawn."""
    section = {"width": 8, "depth": 2, "pattern": tuple(MIXERS), "mixers": MIXERS}
    model = build_model(section, SPEC)
    return model, drawn(jax.eval_shape(model.init, jax.random.key(0)))


def run_of(made, longest: int) -> LoadedRun:
    model, params = made
    of = SimpleNamespace(task=Task(longest), model=model, train=SimpleNamespace(length=TRAINED))
    return LoadedRun(Workdir("a run"), of, 0, params, make_mesh(1))


@pytest.mark.slow
def test_half_lives_are_those_of_the_decays(made, tmp_path):
    """Retention's heads have one each, whatever is read; the LRU one for each state."""
    run = run_of(made, 2 * TRAINED)
    heads, *directions = layers = half_lives(run)
    assert [layer.title for layer in layers] == ["block 1", "block 2, forward", "block 2, backward"]
    expected = np.log(2) / -np.log1p(-(2.0 ** -np.array([[5], [6]])))
    np.testing.assert_allclose(heads.numbers, np.broadcast_to(expected, (2, 5)), rtol=1e-4)
    for layer, name in zip(directions, ("forward", "backward"), strict=True):
        nu = np.asarray(run.params["blocks"][1]["mixer"][name]["nu_log"])
        states = np.sort(np.log(2) / np.exp(nu))
        np.testing.assert_allclose(layer.numbers[0, [0, 4]], states[[2, 37]], rtol=1e-4)
        assert abs(np.searchsorted(states, layer.numbers[0, 2]) - 20) <= 1
    picture = draw_half_lives(run, layers, tmp_path / "half-lives.png")
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("longest", "read"), [(2 * TRAINED, 2 * TRAINED), (TRAINED, TRAINED)])
def test_norms_go_beyond_training_where_the_task_does(made, tmp_path, longest, read):
    (layer,) = layers = norms(run_of(made, longest))
    assert layer.numbers.shape == (2, read)
    assert np.isfinite(layer.numbers).all(), "padding counts for nothing"
    assert (layer.numbers > 0).all()
    picture = draw_norms(run_of(made, longest), layers, tmp_path / "norms.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
