"""Where arrays lie: one mesh over all devices, the batch split along its "data" axis."""

from collections.abc import Callable
from functools import wraps

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from seqmodels.errors import require
from seqmodels.tasks.base import Batch


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


def require_divisible(batch_size: int, accumulate: int) -> None:
    """Refuses a batch that can't be shared equally among micro-batches and devices."""
    parts = accumulate * jax.device_count()
    require(
        batch_size % parts == 0,
        f"batch_size={batch_size} can't be shared equally among {accumulate} micro-batches on "
        f"{jax.device_count()} devices; choose a multiple of {parts}",
    )
