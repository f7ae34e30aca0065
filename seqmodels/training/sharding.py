"""Where arrays lie: one mesh over a run's devices, the batch split along its "data" axis."""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from seqmodels.arrays import Int
from seqmodels.config import Section, flatten
from seqmodels.errors import UserError
from seqmodels.tasks.base import Batch, Split, Task, count_rows, read_rows
from seqmodels.training.experiment import Experiment
from seqmodels.training.memory import require_model_memory

AXES = ("data", "sequence", "model")
"""Of every mesh: what lies along them is split over rows, positions, and features."""
LEAST_ROWS = 4
"""Rows of a batch that a CPU device gets at least, where their number is chosen: fewer were
not measured, and a product of so few rows reads its weights for little work."""


def run_mesh(experiment: Experiment, devices: int | None = None) -> Mesh:
    """The devices that a run's batches are shared by: so many, or all that there are.

    Equally many of each process: accelerators, or a CPU's cores, each a device with LEAST_ROWS rows
    or more. One device would use all cores as well, but shares every single product
    among them: with two a recurrence takes 0.5 to 0.9 of its time, attention 0.8 to 1 and
    convolution 0.9 to 1.1 (docs/performance.md). Each device holds the parameters and the
    optimizer's state; ``devices=1`` saves that.

    Raises:
      UserError: there are not so many, the batch can't be shared equally, or they have too little
        memory for the model.
    """
    processes = jax.process_count()
    available = processes * min(map(len, _devices_by_process()))
    if devices is None:
        devices = _chosen(experiment, available)
    elif not 1 <= devices <= available:
        raise UserError(f"devices={devices} is not from 1 to the {available} there are")
    elif devices % processes:
        raise UserError(
            f"devices={devices} can't be shared equally among {processes} processes; "
            f"choose a multiple of {processes}"
        )
    settings = experiment.train
    parts = settings.accumulate * devices
    if settings.batch_size % parts:
        raise UserError(
            f"train.batch_size={settings.batch_size} can't be shared equally among "
            f"{settings.accumulate} micro-batches on {devices} devices; choose a multiple of "
            f"{parts}, or another number of devices"
        )
    mesh = make_mesh(devices)
    _require_memory(experiment, mesh)
    return mesh


def require_forms(model: Section, experiment: Experiment, mesh: Mesh) -> None:
    """Refuses a form that a config's ``model`` section names and that can't serve on the devices.

    Raises:
      ConfigError: one line that says why, and which could.
    """
    named = (value for key, value in flatten(model).items() if key.rpartition(".")[2] == "form")
    if any(value is not None for value in named):
        params = jax.eval_shape(lambda: experiment.model.init(jax.random.key(0)))
        batch = experiment.lengths.batch(0).batch
        jax.eval_shape(traced_under(mesh, experiment.model.apply), params, batch, None)


def _require_memory(experiment: Experiment, mesh: Mesh) -> None:
    settings, model = experiment.train, experiment.model
    positions = settings.truncate
    if positions is None:
        batch = experiment.task.batch("train", 0, 1, settings.length)
        positions = math.prod(model.axes(batch))
    rows = settings.batch_size // settings.accumulate
    require_model_memory(model, experiment.optimizer, mesh, rows, positions)


def _chosen(experiment: Experiment, available: int) -> int:
    if jax.default_backend() != "cpu":
        return available
    rows = experiment.train.batch_size // experiment.train.accumulate
    least = jax.process_count()
    counts = range(least, min(available, rows // LEAST_ROWS) + 1, least)
    return max((count for count in counts if rows % count == 0), default=least)


def _devices_by_process() -> list[list[Any]]:
    return [jax.local_devices(process) for process in range(jax.process_count())]


def make_mesh(devices: int | None = None, sequence: int = 1, model: int = 1) -> Mesh:
    """A mesh of so many devices, equally many of each process, or of all: from one CPU to a pod.

    ``sequence`` of them share the positions of a row, ``model`` its features; the rest share rows.

    Explicit axes, make_mesh's default, break embeddings and scans; hence Auto.
    """
    each = None if devices is None else devices // jax.process_count()
    chosen = [device for of_process in _devices_by_process() for device in of_process[:each]]
    shape = (len(chosen) // (sequence * model), sequence, model)
    return jax.make_mesh(shape, AXES, (AxisType.Auto,) * len(AXES), devices=chosen)


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device: parameters and optimizer state."""
    return NamedSharding(mesh, PartitionSpec())


def by_row(mesh: Mesh) -> NamedSharding:
    """The first axis split over the devices: batches."""
    return NamedSharding(mesh, PartitionSpec("data"))


def traced_under[**P, R](mesh: Mesh, function: Callable[P, R]) -> Callable[P, R]:
    """The function with the mesh as its context: ops choose their form by the devices in it.

    Inside what is jitted, so that any call and any compilation ahead of time has it.
    """

    @wraps(function)
    def traced(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return function(*args, **kwargs)

    return traced


def local_rows(mesh: Mesh, batch_size: int) -> Int[np.ndarray, "b"] | None:
    """The rows of a batch that this process's devices hold; None where it is the only process."""
    if jax.process_count() == 1:
        return None
    held = by_row(mesh).addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[rows] for rows in held]))


def put_batch(batch: Batch, mesh: Mesh) -> Batch:
    """A batch on the devices, given this process's rows of it; returns before the copy is done."""
    sharding = by_row(mesh)
    if jax.process_count() == 1:
        return jax.device_put(batch, sharding)
    return jax.make_array_from_process_local_data(sharding, batch)


def read_batch(
    task: Task, split: Split, step: int, batch_size: int, length: int, mesh: Mesh, examples: int
) -> Batch:
    """A task's batch on the devices, of which each process reads its own rows.

    Of the whole split only the first ``examples`` count: a training split would begin anew.
    """
    rows = local_rows(mesh, batch_size)
    batch = read_rows(task, split, step, batch_size, length, rows)
    places = step * batch_size + (np.arange(batch_size) if rows is None else rows)
    return put_batch(count_rows(batch, places < examples), mesh)
