"""What positions need of those before them: the one before, the sum, and the largest.

Where devices have parts of the positions they send each other one position of each.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Float, Shaped
from seqmodels.ops.by_parts import POSITIONS, ROWS, by_parts, shares
from seqmodels.ops.exchange import AXIS, only_first, passed, place


def previous(
    x: Shaped[Array, "B L *rest"], first: Shaped[Array, "B *rest"]
) -> Shaped[Array, "B L *rest"]:
    """``x_{t-1}``, and for the first position what is given."""

    def within(x, first):
        return jnp.concatenate([first[:, None].astype(x.dtype), x[:, :-1]], axis=1)

    def of_part(x, first):
        return within(x, only_first(first.astype(x.dtype)) + passed(x[:, -1]))

    if shares("sequence", x.shape[1]) == 1:
        return within(x, first)
    return by_parts(of_part, x.shape, (POSITIONS, ROWS), POSITIONS)(x, first)


def running_sum(x: Shaped[Array, "B L *rest"], reverse: bool = False) -> Shaped[Array, "B L *rest"]:
    """``x_1 + ... + x_t``; with ``reverse`` ``x_t + ... + x_L``."""

    def total(parts, counts):
        return jnp.sum(jnp.where(counts, parts, 0), axis=0, dtype=parts.dtype)

    def within(x):
        return lax.cumsum(x, axis=1, reverse=reverse)

    return _running(within, total, jnp.add, x, reverse)


def running_max(x: Float[Array, "B L *rest"]) -> Float[Array, "B L *rest"]:
    """``max(x_1, ..., x_t)``."""

    def total(parts, counts):
        return jnp.max(jnp.where(counts, parts, -jnp.inf), axis=0)

    return _running(lambda x: lax.cummax(x, axis=1), total, jnp.maximum, x)


def _running(
    within: Callable[[Array], Array],
    total: Callable[[Array, Array], Array],
    join: Callable[[Array, Array], Array],
    x: Array,
    reverse: bool = False,
) -> Array:
    """Of each part by itself, joined with what the parts before it come to."""

    def of_part(x):
        own = within(x)
        ends = lax.all_gather(own[:, 0 if reverse else -1], AXIS)  # [parts, B, ...]
        places = jnp.arange(len(ends))
        places = places[::-1] if reverse else places
        before = (places < place(reverse)).reshape(-1, *[1] * (ends.ndim - 1))
        return join(own, total(ends, before)[:, None])

    if shares("sequence", x.shape[1]) == 1:
        return within(x)
    return by_parts(of_part, x.shape, (POSITIONS,), POSITIONS)(x)
