"""What a run cost, measured by itself at its end and kept with the machine that it ran on."""

import platform
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from seqmodels.arrays import Params
from seqmodels.machine import processor
from seqmodels.output import decoration
from seqmodels.tasks.base import TaskSpec
from seqmodels.training.experiment import Experiment
from seqmodels.training.processes import warn
from seqmodels.training.programs import Programs
from seqmodels.training.progress import Pace
from seqmodels.training.run_files import CostFile, MachineFile
from seqmodels.training.sharding import make_mesh, replicated, traced_under
from seqmodels.training.startup import cores

TOKENS = 20
"""So many are decoded, of which the median counts."""
LONGEST_SECONDS = 0.2
"""So long at most, once the program is compiled."""
LONG_RUN = 60.0
"""Seconds of a run beside which compiling one program more doesn't count."""


def run_cost(
    experiment: Experiment,
    programs: Programs,
    pace: Pace,
    params: Params,
    mesh: Mesh,
    sharing: int,
    seconds: float,
) -> CostFile:
    """What a run cost that has just ended.

    Args:
      params: of the model, on all devices of the mesh.
      sharing: how many runs shared the machine.
      seconds: that the run took so far.
    """
    decoded, wanted = None, experiment.train.decode_step
    if (seconds >= LONG_RUN if wanted is None else wanted) and jax.process_count() == 1:
        with decoration("what a decoded position costs can't be measured", warn):
            decoded = decode_seconds(experiment, params)
    return CostFile(
        step_seconds=pace.median(),
        step_bytes=programs.bytes or None,
        state_bytes=experiment.cost().state_bytes,
        decode_seconds=decoded,
        machine=machine(mesh, sharing),
    )


def machine(mesh: Mesh, sharing: int) -> MachineFile:
    """Where a run's times are of: only those of one such are compared."""
    device = mesh.devices.flat[0]
    return MachineFile(
        processor=processor(),
        cores=cores(),
        devices=f"{mesh.size} {device.platform}:{device.device_kind}",
        platform=f"{platform.system()} {platform.machine()}",
        sharing=sharing,
    )


def decode_seconds(experiment: Experiment, params: Params) -> float | None:
    """Seconds in which one row goes on by one position; None of a model that doesn't stream.

    The state has room for a sequence of training's length, and holds zeros: what they are takes no
    other time. One program is compiled.
    """
    model, length = experiment.model, experiment.train.length
    if not model.facts.streams:
        return None
    one = make_mesh(1)
    params = jax.device_put(params, replicated(one))
    inputs = one_position(experiment.task.spec)
    start = jax.eval_shape(lambda params: model.start(params, 1, length), params)
    _, shapes = jax.eval_shape(model.extend, params, inputs, start)
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    extend = jax.jit(traced_under(one, model.extend), donate_argnums=2)
    extend = extend.lower(params, inputs, state).compile()
    times: list[float] = []
    while len(times) < TOKENS and sum(times) < LONGEST_SECONDS:
        begun = time.perf_counter()
        scores, state = extend(params, inputs, state)
        jax.block_until_ready((scores, state))
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def one_position(spec: TaskSpec) -> Any:
    """Inputs of one position of one row, all zeros."""
    if spec.inputs == "tokens":
        return np.zeros((1, 1), np.int32)
    return np.zeros((1, 1, spec.input_size), np.float32)
