"""What a device that holds a part of the positions learns of the parts before it, and after it.

All of it is called where each device has its part (:mod:`seqmodels.ops.by_parts`).
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, PyTree
from seqmodels.ops.by_parts import as_type_of, summable

AXIS = "sequence"


def place(back: bool = False) -> Array:
    """Which part it is, from 0 on; from the last one with ``back``."""
    index = lax.axis_index(AXIS)
    return lax.axis_size(AXIS) - 1 - index if back else index


def only_at(is_here: Array, x: PyTree[Array]) -> PyTree[Array]:
    """x in one place, zeros in the others."""
    return jax.tree.map(lambda a: jnp.where(is_here, a, jnp.zeros_like(a)), x)


def only_first(x: PyTree[Array]) -> PyTree[Array]:
    """x in the first part, zeros in the others."""
    return only_at(place() == 0, x)


def of_last(x: PyTree[Array]) -> PyTree[Array]:
    """The last part's x, in all of them."""
    return added_up(only_at(place(back=True) == 0, x))


def added_up(x: PyTree[Array]) -> PyTree[Array]:
    """The sum of all parts' x, in all of them."""
    return jax.tree.map(as_type_of, lax.psum(summable(x), AXIS), x)


def passed(x: PyTree[Array], by: int = 1, back: bool = False) -> PyTree[Array]:
    """The x of the part so many places before, or after with ``back``; zeros where none is."""
    pairs = [(part, part + by) for part in range(lax.axis_size(AXIS) - by)]
    return lax.ppermute(x, AXIS, [pair[::-1] for pair in pairs] if back else pairs)


def plus(a: PyTree[Array], b: PyTree[Array]) -> Any:
    """The sums of states."""
    return jax.tree.map(jnp.add, a, b)
