"""The parameters that a run's folder holds."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from seqmodels.arrays import Params
from seqmodels.training.checkpoint import Checkpoints, Which
from seqmodels.training.experiment import Experiment
from seqmodels.training.programs import abstract_state
from seqmodels.training.step import evaluated
from seqmodels.training.workdir import Workdir


class Trained(NamedTuple):
    """Of one of a run's checkpoints."""

    step: int
    params: Params
    """Those that were evaluated in training."""


def trained(
    run: Workdir,
    experiment: Experiment,
    mesh: jax.sharding.Mesh,
    which: Which,
    warn: Callable[[str], None],
) -> Trained:
    """The parameters of a checkpoint, on the devices of a mesh; nothing in the folder changes.

    ``warn`` is called with a line where a checkpoint is not what was saved.

    Raises:
      CheckpointError: there is no such checkpoint, or none that can be read.
    """
    spec = experiment.task.spec
    checkpoints = Checkpoints(
        run.checkpoints, spec.score, spec.higher_is_better, warn, read_only=True
    )
    like = abstract_state(experiment, mesh)
    step, state = checkpoints.restore(which, like, experiment.model.parameters)
    checkpoints.close()
    return Trained(step, evaluated(experiment.optimizer, state))
