"""Attention by blocks of queries and keys: memory linear in the length, in both passes.

The scores of one block exist at a time; what :mod:`seqmodels.ops.attention.blocks` makes of each
is merged. Blocks that no query sees are left out.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Int
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
from seqmodels.ops.attention.visibility import allowed, reach


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


def _loop(low, clear_low, clear_high, high, size, blocks, step, carry):
    """Runs ``step(block, carry, clear)`` over the blocks that meet positions low..high.

    The blocks that lie wholly within clear_low..clear_high come first and with
    ``clear`` True: they need no mask.
    """
    first = jnp.clip(low // size, 0, blocks)
    last = jnp.clip(high // size + 1, first, blocks)
    clear_first = jnp.clip(-(-clear_low // size), first, last)
    clear_last = jnp.clip((clear_high + 1) // size, clear_first, last)
    carry = lax.fori_loop(clear_first, clear_last, partial(step, clear=True), carry)

    def edge(i, carry):
        block = first + i
        return step(
            jnp.where(block < clear_first, block, block + clear_last - clear_first),
            carry,
            clear=False,
        )

    return lax.fori_loop(0, last - first - (clear_last - clear_first), edge, carry)


def _pick(x, i):
    return lax.dynamic_index_in_dim(x, i, 0, keepdims=False)


def _add(x, i, update):
    return lax.dynamic_update_index_in_dim(x, _pick(x, i) + update, i, 0)


def _keys(i, size, blocks, starts, band, has_mask):
    """The blocks of keys that queries of block i see, and those that all of them do."""
    before, after = reach(band.causal, band.window)
    lowest, highest = (band.offset,) * 2 if starts is None else (starts.lowest, starts.highest)
    first, last = lowest + i * size, highest + i * size + size - 1
    clear_high = -1 if has_mask else jnp.minimum(first + after, band.length - 1)
    return first - before, last - before, clear_high, last + after, size, blocks


def _places(i, j, size, starts, band):
    """Where queries of block i and keys of block j stand: [1 or B, C], [1, C]."""
    within = jnp.arange(size)[None]
    return (band.offset if starts is None else starts.rows) + i * size + within, j * size + within


def _visible(i, j, size, mask, starts, band):
    """Queries of block i against keys of block j: [1 or B, 1, C, C]."""
    queries, keys = _places(i, j, size, starts, band)
    visible = allowed(queries[:, :, None], keys[:, None], band.causal, band.window)
    valid = keys < band.length if mask is None else _pick(mask, j)
    return (visible & valid[:, None])[:, None]


def _bias(i, j, size, starts, band):
    """Queries of block i to keys of block j: [1 or B, H, C, C], or None."""
    return band.bias(*_places(i, j, size, starts, band))


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def _attend(query, key, value, mask, starts, band):
    return _attend_forward(query, key, value, mask, starts, band)[0]


def _attend_forward(query, key, value, mask, starts, band):
    N, B, H, C, _ = query.shape

    def attend(carried):
        i, q = carried

        def step(j, sums, clear):
            visible = None if clear else _visible(i, j, C, mask, starts, band)
            k, v, bias = _pick(key, j), _pick(value, j), _bias(i, j, C, starts, band)
            return merge(sums, attend_block(q, k, v, visible, bias, band.scale))

        nothing = Partial(
            jnp.full((B, H, C), LOWEST), jnp.zeros((B, H, C)), jnp.zeros((B, H, C, value.shape[-1]))
        )
        ranges = _keys(i, C, len(key), starts, band, mask is not None)
        return finish(_loop(*ranges, step, nothing), q.dtype)

    out, log_sum = lax.map(attend, (jnp.arange(N), query))
    return (out, log_sum), (query, key, value, mask, starts, out, log_sum)


def _attend_backward(band, saved, gradients_of):
    query, key, value, mask, starts, out, log_sum = saved
    d_out, d_log_sum = gradients_of
    N, B, H, C, K = query.shape
    delta = jnp.sum(out.astype(jnp.float32) * d_out.astype(jnp.float32), -1) - d_log_sum

    def gradients(d_keys, carried):
        i, rows = carried
        transposed = rows.transposed()

        def step(j, sums, clear):
            d_query, d_key, d_value = sums
            visible = None if clear else _visible(i, j, C, mask, starts, band)
            k, v, bias = _pick(key, j), _pick(value, j), _bias(i, j, C, starts, band)
            d_q, d_k, d_v = block_gradients(rows, transposed, k, v, visible, bias, band.scale)
            return d_query + d_q, _add(d_key, j, d_k), _add(d_value, j, d_v)

        ranges = _keys(i, C, len(key), starts, band, mask is not None)
        d_query, *d_keys = _loop(*ranges, step, (jnp.zeros((B, H, C, K)), *d_keys))
        return tuple(d_keys), (band.scale * d_query).astype(query.dtype)

    d_keys = tuple(jnp.zeros((len(key), B, H, x.shape[-1], C)) for x in (key, value))
    rows = Rows(query, d_out, log_sum, delta)
    (d_key, d_value), d_query = lax.scan(gradients, d_keys, (jnp.arange(N), rows))
    d_key = (band.scale * d_key).astype(key.dtype).swapaxes(-1, -2)
    return d_query, d_key, d_value.astype(value.dtype).swapaxes(-1, -2), None, None


_attend.defvjp(_attend_forward, _attend_backward)
