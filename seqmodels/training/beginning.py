"""Where a run begins: at its latest checkpoint, at another run's parameters, or at drawn ones."""

from collections.abc import Sequence
from typing import NamedTuple

import jax

from seqmodels.config import flatten
from seqmodels.config_files import DECIDED
from seqmodels.training.checkpoint import Checkpoints
from seqmodels.training.divergence import Divergence
from seqmodels.training.experiment import Experiment
from seqmodels.training.loggers import begins_of
from seqmodels.training.metrics import Mean, MetricWriter
from seqmodels.training.processes import is_first, say
from seqmodels.training.programs import abstract_state, new_state
from seqmodels.training.start_from import Start
from seqmodels.training.step import RunState
from seqmodels.training.workdir import Workdir


class Beginning(NamedTuple):
    """What a process of a run goes on from."""

    step: int
    """Those that are done."""
    state: RunState
    mean: Mean
    """Of the steps after the last line of metrics."""


def begin(
    experiment: Experiment,
    run: Workdir,
    mesh: jax.sharding.Mesh,
    checkpoints: Checkpoints,
    start: Start | None,
) -> Beginning:
    """The latest checkpoint's state, or else the one before the first step."""
    if not checkpoints.steps():
        if start is not None:
            say(f"starting from the parameters of {start.record['of']}")
        return Beginning(0, new_state(experiment, mesh, start and start.params), Mean())
    like = abstract_state(experiment, mesh)
    step, state = checkpoints.restore("latest", like, experiment.model.parameters)
    say(f"continuing from step {step} in {run.path}")
    if run.is_older:
        say(
            "an older version began this run; from here on its learning rates, weight decay, norms "
            "and dropout are those of this version (CHANGELOG.md)"
        )
    return Beginning(step, state, Mean(checkpoints.unlogged(step)))


def begin_events(
    run: Workdir, step: int, log: Sequence[str], divergence: Divergence
) -> MetricWriter:
    """What writes the events after a step, and sends them to loggers, by their keys.

    If it is one to which the run has just gone back, that is the first of them.
    """
    stored = run.read("config.json") or {}
    config = flatten({key: value for key, value in stored.items() if key != DECIDED})
    called = stored.get(DECIDED, {}).get("logged", {})
    begins = begins_of(log, run.path, config, called)
    writer = MetricWriter(
        run.metrics, step, is_first(), begins=begins, reversals=divergence.reversals
    )
    if writer.called:
        run.note_logged(writer.called)
    divergence.note(step, writer)
    return writer
