"""What devices make of the rows and positions that they hold, each of its own."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from seqmodels.arrays import Array, PyTree
from seqmodels.ops.parts import Axis, parts
from seqmodels.ops.platform import platform

POSITIONS = PartitionSpec("data", "sequence")
"""Of arrays [B, L, ...]."""
ROWS = PartitionSpec("data")
"""Of arrays [B, ...]."""
WHOLE = PartitionSpec()
"""Of what all have: parameters."""


def shares(axis: Axis, size: int) -> int:
    """How many devices have equal parts of what lies along an axis; 1 where each has it whole."""
    return parts(axis) if size % parts(axis) == 0 else 1


def is_part() -> bool:
    """Whether what is traced is what a device makes of its part of the rows or positions."""
    return bool(jax.sharding.get_abstract_mesh().manual_axes)


def by_parts[R](
    function: Callable[..., R], shape: tuple[int, ...], in_specs: Any, out_specs: Any
) -> Callable[..., R]:
    """The function, which each device calls with its part of the rows and of the positions.

    Inside, ``parts`` of both is 1. What can't be split equally is whole on each device, and what
    lies along other axes is the compiler's. Gradients of what is :data:`WHOLE` are added up over
    devices once, after the function's own backward pass, and not in each step of its loops.

    Args:
      shape: of an array [B, ...] or [B, L, ...], whose first axes are shared.
      in_specs: of its arguments, as of :func:`jax.shard_map`; :data:`POSITIONS`, :data:`ROWS`
        or :data:`WHOLE`, for instance.
      out_specs: of what it returns.
    """
    shared: tuple[Axis, ...] = ("data", "sequence")
    sizes = zip(shared, shape, strict=False)
    axes = {axis for axis, size in sizes if shares(axis, size) > 1}
    # Also what splits nothing: the compiler would use it, and devices that take different branches
    # would wait for each other.
    manual = {axis for axis in shared if parts(axis) > 1}
    if not manual:
        return function

    def held(spec: PartitionSpec) -> PartitionSpec:
        return PartitionSpec(*(axis if axis in axes else None for axis in spec))

    def is_spec(x: Any) -> bool:
        return isinstance(x, PartitionSpec)

    def in_sums_type(spec: PartitionSpec, x: PyTree[Array]) -> PyTree[Array]:
        return summable(x) if manual - set(held(spec)) else x

    def run(*arguments: Any) -> R:
        def of_given(*given: Any) -> R:
            return function(*jax.tree.map(as_type_of, given, arguments))

        given = jax.tree.map(in_sums_type, in_specs, arguments, is_leaf=is_spec)
        return jax.shard_map(
            of_given,
            in_specs=jax.tree.map(held, in_specs, is_leaf=is_spec),
            out_specs=jax.tree.map(held, out_specs, is_leaf=is_spec),
            axis_names=manual,
            # Or gradients would be added up where they arise: at each step of a loop.
            check_vma=False,
        )(*given)

    return run


def summable(x: PyTree[Array]) -> PyTree[Array]:
    """Arrays in a type that devices can add up: on CPUs float32 for 16 bits.

    XLA's compiler for CPUs aborts the process at sums of 16-bit floats over some of a mesh's axes.
    """

    def wide(x: Array) -> Array:
        short = jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize == 2
        return x.astype(jnp.float32) if short else x

    return jax.tree.map(wide, x) if platform() == "cpu" else x


def as_type_of(x: Array, other: Array) -> Array:
    """x in the type of another array."""
    return x if x.dtype == other.dtype else x.astype(other.dtype)
