"""Attention by blocks of queries and keys: memory linear in the length, in both passes.

The scores of one block exist at a time; what :mod:`seqmodels.ops.attention.blocks` makes of each
is merged. Blocks that no query sees are left out.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Bool, Float, Int
from seqmodels.ops.attention.blocks import (
    LOWEST,
    Band,
    Partial,
    Rows,
    attend_block,
    block_gradients,
    block_size,
    finish,
    from_blocks,
    from_sums,
    merge,
    to_blocks,
)
from seqmodels.ops.attention.visibility import EVERYWHERE, allowed, reach


def blocked_attention(
    query, key, value, mask, causal, window, offset, scale, slopes=None, log_sum=False
):
    """As ``attention`` in dot_product.py, over blocks, without those that no query sees."""
    (B, M, H, _), L = query.shape, key.shape[1]
    size = block_size(B * H, max(M, L))
    if mask is not None:
        mask = jnp.pad(mask, ((0, 0), (0, -L % size))).reshape(B, -1, size).swapaxes(0, 1)
    starts = None
    if not isinstance(offset, int):
        starts = Starts(jnp.reshape(offset, (-1, 1)), jnp.min(offset), jnp.max(offset))
        offset = 0
    band = Band(causal, window, offset, L, scale, slopes)
    out, sums = _attend(*(to_blocks(x, size) for x in (query, key, value)), mask, starts, band)
    out = from_blocks(out, M)
    return (out, from_sums(sums, M)) if log_sum else out


class Starts(NamedTuple):
    """Where the first queries stand if that isn't known while tracing; else it is the band's."""

    rows: Int[Array, "R 1"]
    """In each row, or one for all."""
    lowest: Int[Array, ""]
    highest: Int[Array, ""]


class Keys(NamedTuple):
    """Blocks of keys and values, and of them those that queries may meet."""

    key: Float[Array, "N B G C K"]
    value: Float[Array, "N B G C Kv"]
    mask: Bool[Array, "N B C"] | None
    blocks: int
    """How many queries may meet."""
    first: int | Int[Array, ""] = 0
    """The first of them, at position 0."""

    def block(self, j: Int[Array, ""], heads: int) -> tuple[Array, Array]:
        """Keys and values of each head of the queries."""
        key, value = pick(self.key, self.first + j), pick(self.value, self.first + j)
        return _for_heads(key, heads), _for_heads(value, heads)


def _loop(low, clear_low, clear_high, high, size, blocks, kinds, step, carry):
    """Runs ``step(block, carry, clear)`` over the blocks that meet positions low..high.

    The blocks that lie wholly within clear_low..clear_high come first and with
    ``clear`` True: they need no mask. A loop is compiled for each of the ``kinds`` that there may
    be, True and False.
    """
    first = jnp.clip(low // size, 0, blocks)
    last = jnp.clip(high // size + 1, first, blocks)
    clear_first = jnp.clip(-(-clear_low // size), first, last)
    clear_last = jnp.clip((clear_high + 1) // size, clear_first, last)
    if True in kinds:
        carry = lax.fori_loop(clear_first, clear_last, partial(step, clear=True), carry)
    if False not in kinds:
        return carry

    def edge(i, carry):
        block = first + i
        return step(
            jnp.where(block < clear_first, block, block + clear_last - clear_first),
            carry,
            clear=False,
        )

    return lax.fori_loop(0, last - first - (clear_last - clear_first), edge, carry)


def pick(x: Array, i: int | Int[Array, ""]) -> Array:
    """A block of all."""
    return lax.dynamic_index_in_dim(x, i, 0, keepdims=False)


def put(x: Array, i: int | Int[Array, ""], block: Array) -> Array:
    """All with another block in one's place."""
    return lax.dynamic_update_index_in_dim(x, block, i, 0)


def _for_heads(x: Float[Array, "B G C K"], heads: int) -> Float[Array, "B H C K"]:
    return x if x.shape[1] == heads else jnp.repeat(x, heads // x.shape[1], axis=1)


def _of_keys(x: Float[Array, "B H K C"], heads: int) -> Float[Array, "B G K C"]:
    """Gradients, added up over the heads of queries that share one of keys."""
    return x if x.shape[1] == heads else x.reshape(len(x), heads, -1, *x.shape[2:]).sum(axis=2)


def _ranges(i, size, keys, starts, band):
    """The blocks of keys that queries of block i see, and those that all of them do; which kinds
    there may be.
    """
    before, after = reach(band.causal, band.window)
    lowest, highest = (band.offset,) * 2 if starts is None else (starts.lowest, starts.highest)
    first, last = lowest + i * size, highest + i * size + size - 1
    clear_high = -1 if keys.mask is not None else jnp.minimum(first + after, band.length - 1)
    kinds = (True, False) if keys.mask is None else (False,)
    everything = min(before, after) == EVERYWHERE and keys.blocks * size == band.length
    if keys.mask is None and everything:
        kinds = (True,)
    return first - before, last - before, clear_high, last + after, size, keys.blocks, kinds


def _places(i, j, size, starts, band):
    """Where queries of block i and keys of block j stand: [1 or B, C], [1, C]."""
    within = jnp.arange(size)[None]
    return (band.offset if starts is None else starts.rows) + i * size + within, j * size + within


def _visible(i, j, size, keys, starts, band):
    """Queries of block i against keys of block j: [1 or B, 1, C, C]."""
    queries, places = _places(i, j, size, starts, band)
    visible = allowed(queries[:, :, None], places[:, None], band.causal, band.window)
    valid = places < band.length if keys.mask is None else pick(keys.mask, keys.first + j)
    return (visible & valid[:, None])[:, None]


def _bias(i, j, size, starts, band):
    """Queries of block i to keys of block j: [1 or B, H, C, C], or None."""
    return band.bias(*_places(i, j, size, starts, band))


def attend_queries(
    i: Int[Array, ""],
    q: Float[Array, "B H C K"],
    keys: Keys,
    starts: Starts | None,
    band: Band,
    sums: Partial,
) -> Partial:
    """What the queries of block i take of the keys, added to what they have taken of others."""
    heads, size = q.shape[1:3]

    def step(j, sums, clear):
        visible = None if clear else _visible(i, j, size, keys, starts, band)
        bias = _bias(i, j, size, starts, band)
        block = attend_block(q, *keys.block(j, heads), visible, bias, band.scale)
        return merge(sums, block)

    return _loop(*_ranges(i, size, keys, starts, band), step, sums)


def gradients_of_queries(
    i: Int[Array, ""],
    rows: Rows,
    keys: Keys,
    starts: Starts | None,
    band: Band,
    d_keys: tuple[Float[Array, "N B G K C"], Float[Array, "N B G Kv C"]],
) -> tuple[Float[Array, "B H C K"], tuple[Float[Array, "N B G K C"], Float[Array, "N B G Kv C"]]]:
    """What the queries of block i and the keys give each other, in float32.

    By queries, and by keys and values added to what others have given them; before ``scale`` but
    for values.
    """
    heads, size = rows.query.shape[1:3]
    shared = keys.key.shape[2]
    transposed = rows.transposed()

    def step(j, sums, clear):
        d_query, *d_keys = sums
        visible = None if clear else _visible(i, j, size, keys, starts, band)
        bias = _bias(i, j, size, starts, band)
        block = keys.block(j, heads)
        d_q, *d_block = block_gradients(rows, transposed, *block, visible, bias, band.scale)
        place = keys.first + j
        d_keys = (
            put(x, place, pick(x, place) + _of_keys(more, shared))
            for x, more in zip(d_keys, d_block, strict=True)
        )
        return d_query + d_q, *d_keys

    nothing = jnp.zeros(rows.query.shape, jnp.float32)
    ranges = _ranges(i, size, keys, starts, band)
    d_query, d_key, d_value = _loop(*ranges, step, (nothing, *d_keys))
    return d_query, (d_key, d_value)


def no_sums(query: Float[Array, "*N B H C K"], width: int) -> Partial:
    """Before the first key."""
    rows = query.shape[:-1]
    return Partial(jnp.full(rows, LOWEST), jnp.zeros(rows), jnp.zeros((*rows, width)))


def no_gradients(
    key: Float[Array, "N B G C K"], value: Float[Array, "N B G C Kv"]
) -> tuple[Float[Array, "N B G K C"], Float[Array, "N B G Kv C"]]:
    """Of keys and values, before the first query."""
    d_key, d_value = (jnp.zeros((*x.shape[:3], x.shape[4], x.shape[3])) for x in (key, value))
    return d_key, d_value


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def _attend(query, key, value, mask, starts, band):
    return _attend_forward(query, key, value, mask, starts, band)[0]


def _attend_forward(query, key, value, mask, starts, band):
    keys = Keys(key, value, mask, len(key))

    def attend(carried):
        i, q = carried
        sums = attend_queries(i, q, keys, starts, band, no_sums(q, value.shape[-1]))
        return finish(sums, q.dtype)

    out, log_sum = lax.map(attend, (jnp.arange(len(query)), query))
    return (out, log_sum), (query, key, value, mask, starts, out, log_sum)


def _attend_backward(band, saved, gradients_of):
    query, key, value, mask, starts, out, log_sum = saved
    keys = Keys(key, value, mask, len(key))
    rows = Rows.of(query, out, log_sum, *gradients_of)

    def gradients(d_keys, carried):
        i, of_block = carried
        d_query, d_keys = gradients_of_queries(i, of_block, keys, starts, band, d_keys)
        return d_keys, (band.scale * d_query).astype(query.dtype)

    carried = (jnp.arange(len(query)), rows)
    (d_key, d_value), d_query = lax.scan(gradients, no_gradients(key, value), carried)
    d_key = (band.scale * d_key).astype(key.dtype).swapaxes(-1, -2)
    return d_query, d_key, d_value.astype(value.dtype).swapaxes(-1, -2), None, None


_attend.defvjp(_attend_forward, _attend_backward)
