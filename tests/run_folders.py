"""Folders of runs as training leaves them, without having trained: each written and loaded once."""

from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from seqmodels.evaluation import lengths_run
from seqmodels.evaluation import splits as evaluation
from seqmodels.evaluation.runs import LoadedRun
from seqmodels.evaluation.runs import load as load_run
from seqmodels.generation import run as generation
from seqmodels.pictures import run as pictures
from seqmodels.training.checkpoint import Checkpoints
from seqmodels.training.experiment import build_experiment
from seqmodels.training.sharding import make_mesh, replicated
from seqmodels.training.step import initial_state
from seqmodels.training.workdir import Workdir
from tests.states import abstract_state
from tests.test_configs import load, reduced

STEP = 2

load_once = cache(load_run)
"""As load, of folders that nothing changes."""


def loaded(folder: str) -> LoadedRun:
    """A run's best checkpoint on one device."""
    return load_once(folder, "best", devices=1)


def drawn(like: Any, wide: float = 1.0) -> Any:
    """Arrays of the shapes and dtypes of a tree of parameters, for which nothing is compiled.

    Noise of 0.3, around 1 where it is a norm's scale; matrices are wider by a factor. Integers are
    0.
    """
    random = np.random.default_rng(0)

    def draw(path: Any, leaf: Any) -> jax.Array:
        noise = 0.3 * random.normal(size=leaf.shape) * (wide if len(leaf.shape) > 1 else 1.0)
        centre = 1.0 if "scale" in jax.tree_util.keystr(path) else 0.0
        is_number = np.issubdtype(leaf.dtype, np.floating)
        return jax.device_put((is_number * (centre + noise)).astype(leaf.dtype))

    return jax.tree_util.tree_map_with_path(draw, like)


def write_run(config: ConfigDict, folder: Path) -> None:
    """A run's folder with one checkpoint, whose numbers are drawn."""
    experiment, workdir = build_experiment(config), Workdir(folder)
    workdir.open_for(config)
    like = abstract_state(
        lambda: initial_state(experiment.model, experiment.optimizer, experiment.seed),
        replicated(make_mesh(1)),
    )
    numbers = drawn(like)._replace(step=np.int32(STEP))
    state = jax.tree.map(lambda s, x: jax.device_put(x, s.sharding), like, numbers)
    spec = experiment.task.spec
    checkpoints = Checkpoints(workdir.checkpoints, spec.score, spec.higher_is_better, pytest.fail)
    checkpoints.save(state, STEP, {"loss": 1.0, spec.score: 0.5})
    checkpoints.close()


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Makes the folder of a run of a config, once."""
    made = {}

    def make(file: str, mixer: str, depth: int | None = None):
        if (file, mixer, depth) not in made:
            folder = tmp_path_factory.mktemp(mixer)
            config = reduced(load(f"configs/{file}.py", mixer))
            if file == "reverse":
                config.train.length = 5
            if depth is not None:
                config.model.depth = depth
            write_run(config, folder)
            made[file, mixer, depth] = str(folder)
        return made[file, mixer, depth]

    return make


@pytest.fixture(autouse=True)
def loads_once(monkeypatch):
    """Tests of one run share its model, and so its programs."""
    for module in (evaluation, generation, lengths_run, pictures):
        monkeypatch.setattr(module, "load", load_once)
