"""Where arrays lie: one mesh over a run's devices, the batch split along its "data" axis."""

from collections.abc import Callable
from functools import wraps

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from seqmodels.errors import UserError
from seqmodels.experiment import Experiment
from seqmodels.tasks.base import Batch

LEAST_ROWS = 4
"""Rows of a batch that a CPU device gets at least, where their number is chosen: fewer were
not measured, and a product of so few rows reads its weights for little work."""


def run_mesh(experiment: Experiment, devices: int | None = None) -> Mesh:
    """The devices that a run's batches are shared by.

    All of them: accelerators, or a CPU's cores, each a device with LEAST_ROWS rows or
    more. One device would use all cores as well, but shares every single product among them: with
    two a recurrence takes 0.5 to 0.9 of its time, attention 0.8 to 1 and convolution 0.9
    to 1.1 (docs/performance.md). Each device holds the parameters and the optimizer's
    state; ``devices=1`` saves that.

    Args:
      experiment: what is run; nothing of it is computed.
      devices: how many instead.

    Raises:
      UserError: there are not so many, or the batch can't be shared equally.
    """
    available = jax.device_count()
    if devices is None:
        devices = _chosen(experiment, available)
    elif not 1 <= devices <= available:
        raise UserError(f"--devices={devices} is not from 1 to the {available} there are")
    settings = experiment.train
    parts = settings.accumulate * devices
    if settings.batch_size % parts:
        raise UserError(
            f"train.batch_size={settings.batch_size} can't be shared equally among "
            f"{settings.accumulate} micro-batches on {devices} devices; choose a multiple of "
            f"{parts}, or other --devices"
        )
    return make_mesh(devices)


def _chosen(experiment: Experiment, available: int) -> int:
    if jax.default_backend() != "cpu":
        return available
    rows = experiment.train.batch_size // experiment.train.accumulate
    counts = range(1, min(available, rows // LEAST_ROWS) + 1)
    return max((count for count in counts if rows % count == 0), default=1)


def make_mesh(devices: int | None = None) -> Mesh:
    """A mesh of so many devices, or of all: from one CPU to a pod.

    Explicit axes, make_mesh's default, break embeddings and scans; hence Auto.
    """
    chosen = jax.devices()[:devices]
    return jax.make_mesh((len(chosen),), ("data",), (AxisType.Auto,), devices=chosen)


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


def put_batch(batch: Batch, mesh: Mesh) -> Batch:
    """A task's batch on the devices; returns before the copy is done."""
    return jax.device_put(batch, by_row(mesh))
