"""Which keys a query may see: the one statement of it that every form of attention uses."""

import jax.numpy as jnp

from seqmodels.arrays import Array, Bool, Float, Int

EVERYWHERE = 2**30
"""A reach past any sequence, and still far from int32's end when added to a position."""


def reach(causal: bool, window: int | None) -> tuple[int, int]:
    """How many keys a query sees before its own position, and how many after it.

    Window W is W keys, the query's own included (causal), or W on each side and
    the query's own; None is all of them.

    >>> reach(causal=True, window=3), reach(causal=False, window=3)
    ((2, 0), (3, 3))
    """
    side = EVERYWHERE if window is None else window
    if not causal:
        return side, side
    return (side if window is None else window - 1), 0


def allowed(
    query_position: Int[Array, "*#S"],
    key_position: Int[Array, "*#S"],
    causal: bool,
    window: int | None,
) -> Bool[Array, "*S"]:
    """True where a query may see a key, for positions that broadcast against each other."""
    before, after = reach(causal, window)
    distance = query_position - key_position
    return (distance <= before) & (distance >= -after)


def meets_padding(queries: int, keys: int, after: int, offset: int) -> bool:
    """Whether a query would see a key that is put behind the last."""
    return offset + queries + after > keys


def blank_unseeing(
    out: Float[Array, "B M H K"],
    mask: Bool[Array, "B L"] | None,
    causal: bool,
    window: int | None,
    offset: int,
) -> Float[Array, "B M H K"]:
    """Zeros, and no gradient, for the queries that see no valid key; a kernel gives them a mean."""
    if mask is None:
        return out
    M, L = out.shape[1], mask.shape[1]
    before, after = reach(causal, window)
    count = jnp.pad(jnp.cumsum(mask, axis=1, dtype=jnp.int32), ((0, 0), (1, 0)))  # [B, L + 1]

    def count_before(start):
        """How many valid keys there are before start, start + 1, ..., one for each query."""
        start = min(max(start, -M), L)
        low, high = max(-start, 0), max(start + M - 1 - L, 0)
        return jnp.pad(count, ((0, 0), (low, high)), mode="edge")[:, start + low :][:, :M]

    sees = count_before(offset + after + 1) > count_before(offset - before)  # [B, M]
    return jnp.where(sees[:, :, None, None], out, jnp.zeros((), out.dtype))
