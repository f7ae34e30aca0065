"""Where a run begins: at its latest checkpoint, at another run's parameters, or at drawn ones."""

from functools import partial
from typing import Any, NamedTuple

import jax

from seqmodels.training.checkpoint import Checkpoints, abstract_state
from seqmodels.training.experiment import Experiment
from seqmodels.training.metrics import Mean
from seqmodels.training.processes import say
from seqmodels.training.sharding import replicated
from seqmodels.training.start_from import Start
from seqmodels.training.step import TrainState, initial_state, key_data
from seqmodels.training.workdir import Workdir


class Beginning(NamedTuple):
    """What a process of a run goes on from."""

    step: int
    """Those that are done."""
    state: TrainState
    mean: Mean
    """Of the steps after the last line of metrics."""


def new_state(experiment: Experiment, key: Any = None, params: Any = None) -> TrainState:
    """The state before the first step, with these parameters, or drawn ones by the seed's key."""
    seed = experiment.seed if key is None else key
    return initial_state(experiment.model, experiment.optimizer, seed, params)


def begin(
    experiment: Experiment,
    run: Workdir,
    mesh: jax.sharding.Mesh,
    checkpoints: Checkpoints,
    start: Start | None,
) -> Beginning:
    """The latest checkpoint's state, or else the one before the first step."""
    everywhere = replicated(mesh)
    new = partial(new_state, experiment)
    if not checkpoints.steps():
        if start is not None:
            say(f"starting from the parameters of {start.record['of']}")
        begun = jax.jit(new, out_shardings=everywhere)
        state = begun(key_data(experiment.seed), start and start.params)
        return Beginning(0, state, Mean())
    like = abstract_state(new, everywhere)
    step, state = checkpoints.restore("latest", like, experiment.model.parameters)
    say(f"continuing from step {step} in {run.path}")
    if run.is_older:
        say(
            "an older version began this run; from here on its learning rates, weight decay, norms "
            "and dropout are those of this version (CHANGELOG.md)"
        )
    return Beginning(step, state, Mean(checkpoints.unlogged(step)))
