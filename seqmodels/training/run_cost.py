"""What a run cost, measured by itself at its end and kept with the machine that it ran on."""

import platform
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

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

REPEATS = 20
"""So often a row is read, and so many positions are decoded; the medians count."""
LONGEST_SECONDS = 0.2
"""So long at most of each, once its program is compiled."""
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
    streamed, wanted = Streamed(None, None), experiment.train.decode_step
    if (seconds >= LONG_RUN if wanted is None else wanted) and jax.process_count() == 1:
        with decoration("what a decoded position costs can't be measured", warn):
            streamed = streaming_seconds(experiment, params)
    return CostFile(
        step_seconds=pace.median(),
        step_bytes=programs.bytes or None,
        state_bytes=experiment.cost().state_bytes,
        prefill_seconds=streamed.prefill,
        decode_seconds=streamed.decode,
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


class Streamed(NamedTuple):
    """Seconds in which one row is read whole, and in which it goes on by one position."""

    prefill: float | None
    decode: float | None


def streaming_seconds(experiment: Experiment, params: Params) -> Streamed:
    """What a model that streams takes for one row; None of one that doesn't.

    The row is as long as those of training. What goes on has a state with room for that and holds
    zeros: what they are takes no other time. Two programs are compiled.
    """
    model, length = experiment.model, experiment.train.length
    if not model.facts.streams:
        return Streamed(None, None)
    one = make_mesh(1)
    params = jax.device_put(params, replicated(one))
    whole, inputs = (zeros(experiment.task.spec, count) for count in (length, 1))

    def read(params: Params, inputs: Any) -> Any:
        return model.extend(params, inputs, model.start(params, 1, length))

    _, shapes = jax.eval_shape(read, params, inputs)
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    read = jax.jit(traced_under(one, read)).lower(params, whole).compile()
    extend = jax.jit(traced_under(one, model.extend), donate_argnums=2)
    extend = extend.lower(params, inputs, state).compile()

    def decode(state: Any) -> Any:
        return extend(params, inputs, state)[1]

    return Streamed(_median(lambda _: read(params, whole), None), _median(decode, state))


def _median(step: Callable[[Any], Any], state: Any) -> float:
    """Of the seconds that a step takes from what the one before has made."""
    times: list[float] = []
    while len(times) < REPEATS and sum(times) < LONGEST_SECONDS:
        begun = time.perf_counter()
        state = step(state)
        jax.block_until_ready(state)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def zeros(spec: TaskSpec, positions: int) -> Any:
    """Inputs of one row."""
    if spec.inputs == "tokens":
        return np.zeros((1, positions), np.int32)
    return np.zeros((1, positions, spec.input_size), np.float32)
