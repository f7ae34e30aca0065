"""Reading a run back: its experiment and the parameters of one of its checkpoints."""

import sys
from pathlib import Path
from typing import NamedTuple

import jax

from seqmodels.arrays import Params
from seqmodels.errors import ConfigError, UserError
from seqmodels.experiment import Experiment, build_experiment
from seqmodels.training.checkpoint import Checkpoints, Which, abstract_state
from seqmodels.training.sharding import replicated, run_mesh
from seqmodels.training.startup import start_jax
from seqmodels.training.step import initial_state
from seqmodels.training.workdir import Workdir


class LoadedRun(NamedTuple):
    """A run as evaluation needs it."""

    workdir: Workdir
    experiment: Experiment
    step: int
    """The step of the checkpoint."""
    params: Params
    mesh: jax.sharding.Mesh


def load_run(folder: str | Path, which: str, devices: int | None = None) -> LoadedRun:
    """Loads a checkpoint of a run; changes nothing in its folder.

    Args:
      folder: the run's folder.
      which: "best", "latest" or a step.
      devices: how many share a batch; None for as many as training chooses.

    Raises:
      UserError: no run lies there, or no such checkpoint.
    """
    start_jax()
    workdir = Workdir(folder)
    try:
        experiment = build_experiment(workdir.config())
    except ConfigError as error:
        raise ConfigError(f"{workdir.path / 'config.json'}: {error}") from None
    if not workdir.checkpoints.is_dir():
        raise UserError(f"--workdir={folder} holds no checkpoints; train first")
    mesh = run_mesh(experiment, devices)
    spec = experiment.task.spec
    checkpoints = Checkpoints(
        workdir.checkpoints, spec.score, spec.higher_is_better, warn, read_only=True
    )
    like = abstract_state(
        lambda: initial_state(experiment.model, experiment.optimizer, experiment.seed),
        replicated(mesh),
    )
    step, state = checkpoints.restore(_which(which), like)
    checkpoints.close()
    return LoadedRun(workdir, experiment, step, state.params, mesh)


def _which(text: str) -> Which:
    if text == "best" or text == "latest":
        return text
    if not (text.isdecimal() and len(text) < 20):
        raise UserError(f"--checkpoint={text!r} is not 'best', 'latest' or a step")
    return int(text)


def warn(message: str) -> None:
    """Tells of what a user should know and nothing ends of."""
    print(f"warning: {message}", file=sys.stderr, flush=True)
