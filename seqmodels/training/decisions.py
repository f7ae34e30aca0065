"""What a run decides by itself as it begins: its devices, kernels, and how many steps a time is.

It is written down in ``config.json`` and holds for as long as the run goes on.
"""

from functools import partial
from typing import Any

import jax
from jax.sharding import Mesh

from seqmodels.config import Section
from seqmodels.config_files import DECIDED
from seqmodels.training.batches import Batches
from seqmodels.training.experiment import Experiment, with_steps
from seqmodels.training.processes import largest, say
from seqmodels.training.programs import Programs, new_state, step_batch
from seqmodels.training.progress import Pace
from seqmodels.training.workdir import Workdir

TIMED = 20
"""Steps that are timed."""


def decided(experiment: Experiment, mesh: Mesh) -> dict[str, Any]:
    """What the run decides: its devices, kernels that need a centre, the steps of its time."""
    widened, train = experiment.model.facts.widened, experiment.train
    kernels = {"short_convolution": widened} if widened else {}
    return {"devices": mesh.size} | kernels | ({"steps": train.steps} if train.seconds else {})


def devices_before(run: Workdir) -> int | None:
    """How many devices a run chose as it began; None of one that begins."""
    return (run.read("config.json") or {}).get(DECIDED, {}).get("devices")


def with_its_steps(experiment: Experiment, config: Section, run: Workdir, mesh: Mesh) -> Experiment:
    """An experiment with the steps of its time, if it has one: those that its run decided on when
    it began, or now if it begins.

    Raises:
      ConfigError: a setting that doesn't go with so many.
    """
    seconds, began = experiment.train.seconds, run.read("config.json")
    if seconds is None:
        return experiment
    if began is None:
        steps = steps_within(seconds, experiment, mesh)
    else:  # without a number it was another config's, which is about to be refused
        steps = began.get(DECIDED, {}).get("steps", experiment.train.steps)
    return with_steps(experiment, config, steps)


def steps_within(seconds: float, experiment: Experiment, mesh: Mesh) -> int:
    """How many of an experiment's steps take so many seconds, at least one.

    TIMED steps are done and forgotten, after one more that counts nothing; compiling counts nothing
    either. All processes of a run get the same number.
    """
    programs = Programs(experiment, mesh)
    state = new_state(experiment, mesh)
    pace, done = Pace(), 0
    with Batches(partial(step_batch, experiment, mesh), range(1 + TIMED)) as batches:
        while (batch := batches.next()) is not None:
            if batch.bucket not in programs:
                with pace.paused():
                    jax.block_until_ready(state)
                    programs.compile(state, batch)
            state, _ = programs[batch.bucket](state, batch.batch)
            pace.add(1)
            done += 1
            if done == 1:
                jax.block_until_ready(state)
                pace = Pace()
        jax.block_until_ready(state)
    with pace.paused():
        rate = pace.rates()["steps_per_second"]
    steps = largest(max(1, round(seconds * rate)))
    say(f"{TIMED} steps take {TIMED / rate:.3g} s: train.seconds={seconds:g} is {steps:,} steps")
    return steps
