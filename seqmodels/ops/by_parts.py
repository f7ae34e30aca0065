"""What devices make of the rows and positions that they hold, each of its own."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import PartitionSpec

from seqmodels.ops.parts import Axis, parts

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
    if not axes:
        return function

    def held(spec: PartitionSpec) -> PartitionSpec:
        return PartitionSpec(*(axis if axis in axes else None for axis in spec))

    def is_spec(x: Any) -> bool:
        return isinstance(x, PartitionSpec)

    return jax.shard_map(
        function,
        in_specs=jax.tree.map(held, in_specs, is_leaf=is_spec),
        out_specs=jax.tree.map(held, out_specs, is_leaf=is_spec),
        axis_names=axes,
        check_vma=False,  # or gradients would be added up where they arise: at each step of a loop
    )
