"""The training step as compiled programs, one for each shape of batches."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax.sharding import Mesh

from seqmodels.allocator import return_large_memory
from seqmodels.arrays import Params
from seqmodels.model import count_parameters
from seqmodels.ops.forms import chosen_forms
from seqmodels.tasks.lengths import StepBatch
from seqmodels.training.experiment import Experiment
from seqmodels.training.sharding import local_rows, put_batch, with_shardings
from seqmodels.training.step import RunState, initial_state, jit_train_step, key_data

MIB = 2**20


def abstract_state(experiment: Experiment, mesh: Mesh) -> RunState:
    """The shapes and dtypes of a run's state, and where each array of it lies on a mesh."""
    shapes = jax.eval_shape(partial(_new_state, experiment, key_data(experiment.seed), None))
    sharded = experiment.mesh.fully_sharded
    return with_shardings(shapes, experiment.model.parameters, mesh, sharded)


def new_state(experiment: Experiment, mesh: Mesh, params: Params | None = None) -> RunState:
    """The state before the first step, with these parameters, or drawn ones.

    Each device makes the parts that it holds: nowhere does the whole lie.
    """
    where = jax.tree.map(lambda leaf: leaf.sharding, abstract_state(experiment, mesh))
    if params is not None:
        params = jax.device_put(params, where.params)
    begun = jax.jit(partial(_new_state, experiment), out_shardings=where)
    return begun(key_data(experiment.seed), params)


def _new_state(experiment: Experiment, key: Any, params: Params | None) -> RunState:
    guarding = experiment.train.guarding
    return initial_state(experiment.model, experiment.optimizer, key, params, guarding)


class Programs:
    """An experiment's step, compiled ahead of time for each bucket of lengths once it is needed."""

    def __init__(self, experiment: Experiment, mesh: Mesh):
        self._experiment = experiment
        self._mesh = mesh
        self._step = jit_train_step(
            experiment.model,
            experiment.task,
            experiment.optimizer,
            experiment.train.accumulate,
            experiment.seed,
            mesh,
            experiment.train.truncate,
            experiment.train.guarding,
            experiment.mesh.fully_sharded,
        )
        self._compiled: dict[int, Callable] = {}
        self.forms: dict[str, list[str]] = {}
        """By operation those that the last step to be compiled has taken."""
        self.bytes = 0
        """That the largest step holds on a device."""

    def describe(self) -> str:
        """What a step costs, where it runs, and how many programs there will be."""
        experiment = self._experiment
        parameters = count_parameters(experiment.model)
        # Training takes three times the products of the forward pass: each product
        # has two of the same size in its derivative.
        flops = 3 * experiment.cost().flops / experiment.train.length
        lengths = experiment.lengths
        drawn = f"; {lengths.describe()}" if lengths.kind is not None else ""
        return (
            f"{parameters:,} parameters, {flops / 1e6:.2f} MFLOPs a token and step, "
            f"on {_describe(self._mesh)}{drawn}; compiling"
        )

    def __contains__(self, bucket: int) -> bool:
        """Whether the step is compiled for batches of a length."""
        return bucket in self._compiled

    def __getitem__(self, bucket: int) -> Callable:
        """The step for batches of a length: (state, batch) to (state, report)."""
        return self._compiled[bucket]

    def compile(self, state: RunState, of: StepBatch) -> str:
        """Compiles the step for a batch's bucket, and says what that took and what it takes."""
        start = time.monotonic()
        with chosen_forms() as self.forms:
            compiled = self._step.lower(state, of.batch).compile()
        seconds = time.monotonic() - start
        memory = _step_memory(compiled)
        self.bytes = max(self.bytes, memory)
        return_large_memory(memory)
        self._compiled[of.bucket] = compiled
        which = f" for {of.bucket} positions" if len(self._experiment.lengths.buckets) > 1 else ""
        return f"compiled{which} in {seconds:.1f} s; a step takes {memory / MIB:,.0f} MiB"


def step_batch(experiment: Experiment, mesh: Mesh, step: int, reversals: int = 0) -> StepBatch:
    """The batch of a step as its program takes it; of several processes each makes its own rows.

    After each of a run's reversals the batches are those of as many further steps, to which no run
    comes: other data, where validation and test keep their seed.
    """
    rows = local_rows(mesh, experiment.train.batch_size)
    with jax.profiler.TraceAnnotation("make a batch"):
        made = experiment.lengths.batch(step, rows, reversals * experiment.train.steps)
    # On the host: the compiled step spreads it over the devices in half of device_put's time.
    # It can't spread it over those of other processes.
    return made if rows is None else made._replace(batch=put_batch(made.batch, mesh))


def _describe(mesh: Mesh) -> str:
    platform = mesh.devices.flat[0].platform
    if mesh.size == 1:
        return f"1 {platform} device"
    processes = jax.process_count()
    of = f" of {processes} processes" if processes > 1 else ""
    shared = ", ".join(f"{axis}={size}" for axis, size in mesh.shape.items() if size > 1)
    what = "the batch" if shared == f"data={mesh.size}" else f"it by {shared}"
    return f"{mesh.size} {platform} devices{of} that share {what}"


def _step_memory(compiled: Any) -> int:
    """Bytes that a step holds: arguments and temporaries, as the compiler counts them."""
    memory = compiled.memory_analysis()
    return memory.argument_size_in_bytes + memory.temp_size_in_bytes if memory else 0
