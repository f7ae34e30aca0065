"""Where a run's arrays lie on its mesh: each by the letters of its axes."""

import math
from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from seqmodels.arrays import AnyArray, Int, PyTree
from seqmodels.parameters import About
from seqmodels.placement import partition
from seqmodels.tasks.base import Batch, Split, Task, count_rows, read_rows

AXES = ("data", "sequence", "model")
"""Of every mesh: what lies along them is split over rows, positions, and features."""


LARGE = 2**18
"""Numbers in a parameter from which on devices share its update: of fewer each does all in less
time than it takes to tell one another."""
PARAMS = jax.tree_util.GetAttrKey("params")
"""Where a run's state has the parameters."""


def devices_by_process() -> list[list[Any]]:
    """Those of each process of the run."""
    return [jax.local_devices(process) for process in range(jax.process_count())]


def make_mesh(devices: int | None = None, sequence: int = 1, model: int = 1) -> Mesh:
    """A mesh of so many devices, equally many of each process, or of all: from one CPU to a pod.

    ``sequence`` of them share the positions of a row, ``model`` its features; the rest share rows.

    Explicit axes, make_mesh's default, break embeddings and scans; hence Auto.
    """
    each = None if devices is None else devices // jax.process_count()
    chosen = [device for of_process in devices_by_process() for device in of_process[:each]]
    shape = (len(chosen) // (sequence * model), sequence, model)
    return jax.make_mesh(shape, AXES, (AxisType.Auto,) * len(AXES), devices=chosen)


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def by_row(mesh: Mesh) -> NamedSharding:
    """The first axis split over the devices that share rows."""
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


def with_shardings(
    state: Any, parameters: PyTree[About], mesh: Mesh, fully_sharded: bool = False
) -> Any:
    """The shapes and dtypes of a state, or of parameters, with where each array lies.

    A parameter lies as its letters say (:data:`~seqmodels.placement.RULES`), and so does what an
    optimizer keeps of it, wherever that is in its state: by the parameter's name and shape. All
    else is whole on each device.

    What is kept of LARGE parameters is also split over the devices that share rows, along the
    largest axis that they can share and no others do: so they share the update too, which each
    would do as a whole (Xu et al. 2020).

    Args:
      state: a run's, whose ``params`` are the parameters, or these alone.
      fully_sharded: whether all parameters, and all that is kept of them, are split so.
    """
    said = {_name(path): about for path, about in jax.tree.leaves_with_path(parameters)}

    def place(path: tuple, leaf: Any) -> jax.ShapeDtypeStruct:
        about, name = said.get(_name(path)), _name(path)
        spec = PartitionSpec()
        if about is not None and len(about.letters) == len(leaf.shape):
            is_kept = len(path) > len(name) and path[: -len(name)] != (PARAMS,)
            shared = fully_sharded or (is_kept and math.prod(leaf.shape) >= LARGE)
            spec = _partition(about, leaf.shape, mesh, shared)
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, spec))

    return jax.tree_util.tree_map_with_path(place, state)


def _name(path: tuple) -> tuple[Hashable, ...]:
    """A parameter's name: the keys of the dicts at the end of a path."""
    keys: list[Hashable] = []
    for key in reversed(path):
        if not isinstance(key, jax.tree_util.DictKey):
            break
        keys.append(key.key)
    return tuple(keys)


def _partition(about: About, shape: tuple[int, ...], mesh: Mesh, by_rows: bool) -> PartitionSpec:
    spec = partition(about.letters, shape, mesh.shape) if about.divisible else PartitionSpec()
    rows = mesh.shape["data"]
    if not by_rows or rows == 1:
        return spec
    split = [*spec, *[None] * (len(shape) - len(spec))]
    free = [axis for axis, n in enumerate(shape) if split[axis] is None and n % rows == 0]
    if not free:
        return spec
    largest = max(free, key=lambda axis: shape[axis])
    split[largest] = "data"
    return PartitionSpec(*split[: 1 + max(i for i, axis in enumerate(split) if axis)])


def batch_shardings(batch: Batch, mesh: Mesh) -> Batch:
    """Where each field of a batch lies.

    Rows are split over "data" and positions over "sequence", of a grid those of the first axis.
    Targets lie as the positions do; where these are named one by one, whole in each row.
    """
    rank = batch.inputs.ndim - jnp.issubdtype(batch.inputs.dtype, jnp.floating)
    labels = "BL" if batch.positions is None else "B"
    letters = {
        "inputs": "BL" if rank > 1 else "B",
        "targets": labels,
        "weights": labels,
        "mask": "BL",
        "positions": "B",
    }
    shardings: dict[str, Any] = {
        name: NamedSharding(mesh, partition(letters[name], field.shape, mesh.shape))
        for name, field in batch._asdict().items()
        if field is not None
    }
    return Batch(**shardings)


def local_rows(mesh: Mesh, batch_size: int) -> Int[np.ndarray, "b"] | None:
    """The rows of a batch that this process's devices hold; None where it is the only process."""
    if jax.process_count() == 1:
        return None
    held = by_row(mesh).addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[rows] for rows in held]))


def put_batch(batch: Batch, mesh: Mesh) -> Batch:
    """A batch on the devices, given this process's rows of it; returns before the copy is done."""
    if jax.process_count() == 1:
        return jax.device_put(batch, batch_shardings(batch, mesh))
    of_rows = {
        place[0]
        for place, device in np.ndenumerate(mesh.devices)
        if device.process_index == jax.process_index()
    }
    size = len(batch.weights) * mesh.shape["data"] // len(of_rows)
    rows = local_rows(mesh, size)
    assert rows is not None

    def put(field: AnyArray, whole: jax.ShapeDtypeStruct) -> jax.Array:
        def part(index: Any) -> np.ndarray:
            ours = np.searchsorted(rows, np.arange(size)[index[0]])
            return np.asarray(field)[(ours, *index[1:])]

        return jax.make_array_from_callback(whole.shape, whole.sharding, part)

    return jax.tree.map(put, batch, batch_shapes(batch, mesh, size))


def batch_shapes(batch: Batch, mesh: Mesh, rows: int | None = None) -> Batch:
    """The shapes and dtypes of a batch, or of one of so many rows, with where each field lies."""

    def widen(field: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((rows or field.shape[0], *field.shape[1:]), field.dtype)

    wide = jax.tree.map(widen, batch)
    return jax.tree.map(
        lambda field, where: jax.ShapeDtypeStruct(field.shape, field.dtype, sharding=where),
        wide,
        batch_shardings(wide, mesh),
    )


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
