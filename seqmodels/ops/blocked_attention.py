"""Attention by blocks of queries and keys: memory linear in the length, in both passes.

The scores of one block exist at a time. A block gives three sums per query,

    top = max_j s_j,   total = sum_j exp(s_j - top),   out = sum_j exp(s_j - top) v_j,

and two such triples over different keys merge into one (Milakov & Gimelshein,
2018; Dao et al., 2022). Only the output and log(total) + top are kept for the
backward pass, which computes each block's weights again.

Arrays are cut into blocks [N, B, H, C, K], N of them: one block is contiguous.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Bool, Float, Int
from seqmodels.ops.visibility import allowed, reach

SCORES = 2**19
"""Scores of one block over batch and heads: 2 MiB of float32, about a core's cache."""

LOWEST = -1e30
"""Below any score; finite, so that a row without keys subtracts it from -inf and not -inf from -inf."""


class Band(NamedTuple):
    """What decides which keys a query sees, and how scores are scaled: static."""

    causal: bool
    window: int | None
    offset: int
    length: int
    scale: float


class Partial(NamedTuple):
    """A softmax-weighted sum over some of the keys, not yet normalised; ``top`` is of the scaled scores."""

    top: Float[Array, "B H C"]
    total: Float[Array, "B H C"]
    out: Float[Array, "B H C K"]


def blocked_attention(
    query: Float[Array, "B M H K"],
    key: Float[Array, "B L H K"],
    value: Float[Array, "B L H K"],
    mask: Bool[Array, "B L"] | None,
    causal: bool,
    window: int | None,
    offset: int,
    scale: float,
) -> Float[Array, "B M H K"]:
    """:func:`seqmodels.ops.attention.attention` over blocks, skipping those that no query of the block sees."""
    (B, M, H, _), L = query.shape, key.shape[1]
    size = block_size(B * H, max(M, L))
    if mask is not None:
        mask = jnp.pad(mask, ((0, 0), (0, -L % size))).reshape(B, -1, size).swapaxes(0, 1)
    band = Band(causal, window, offset, L, scale)
    out = _attend(*(to_blocks(x, size) for x in (query, key, value)), mask, band)
    return from_blocks(out, M)


def block_size(rows: int, length: int) -> int:
    """Queries (and keys) a block, for ``rows`` = batch times heads: a power of 2 from 64 to 512."""
    size = 64
    while size < min(512, length) and rows * (2 * size) ** 2 <= SCORES:
        size *= 2
    return size


def to_blocks(x: Float[Array, "B L H K"], size: int) -> Float[Array, "N B H C K"]:
    """Cuts the length into blocks, padding the last with zeros."""
    B, L, H, K = x.shape
    x = jnp.pad(x, ((0, 0), (0, -L % size), (0, 0), (0, 0)))
    return x.reshape(B, -1, size, H, K).transpose(1, 0, 3, 2, 4)


def from_blocks(x: Float[Array, "N B H C K"], length: int) -> Float[Array, "B L H K"]:
    """Undoes :func:`to_blocks`."""
    N, B, H, C, K = x.shape
    return x.transpose(1, 0, 3, 2, 4).reshape(B, N * C, H, K)[:, :length]


def product(form: str, a: Array, b: Array) -> Array:
    """``einsum`` accumulated in float32.

    The forms used here contract the last axis of ``a``: XLA's CPU library takes
    those, and runs a batched matmul whose left side needs transposing 2 to 4
    times slower (22 to 58 against 70 to 100 GFLOP/s on one core).
    """
    return jnp.einsum(form, a, b, preferred_element_type=jnp.float32)


def narrow(x: Float[Array, "*S"], dtype: jnp.dtype) -> Float[Array, "*S"]:
    """Rounds float32 to ``dtype``.

    To bfloat16 by adding half of its last place to the bits: on CPU
    ``exp(x).astype(bfloat16)`` costs 2.4 times what this does.
    """
    if dtype != jnp.bfloat16:
        return x.astype(dtype)
    bits = lax.bitcast_convert_type(x, jnp.uint32) + jnp.uint32(0x8000)
    return lax.bitcast_convert_type((bits >> 16).astype(jnp.uint16), jnp.bfloat16)


def attend_block(q: Array, k: Array, v: Array, visible: Array | None, scale: float) -> Partial:
    """Queries [B, H, M, K] over keys [B, H, L, K]; ``visible`` broadcasts to the scores, None is all True."""
    scores = product("bhmk,bhlk->bhml", q, k)
    if visible is not None:
        scores = jnp.where(visible, scores, -jnp.inf)
    top = jnp.maximum(scale * scores.max(-1), LOWEST)
    weights = narrow(jnp.exp(scale * scores - top[..., None]), v.dtype)
    total = weights.astype(jnp.float32).sum(-1)
    return Partial(top, total, product("bhml,bhlk->bhmk", weights, v))


def merge(a: Partial, b: Partial) -> Partial:
    """The sum over the keys of both."""
    top = jnp.maximum(a.top, b.top)
    shrink_a, shrink_b = jnp.exp(a.top - top), jnp.exp(b.top - top)
    out = a.out * shrink_a[..., None] + b.out * shrink_b[..., None]
    return Partial(top, a.total * shrink_a + b.total * shrink_b, out)


def finish(sums: Partial, dtype: jnp.dtype) -> tuple[Array, Array]:
    """Output and log-sum-exp. A row that saw no key gives 0 and inf: exp(s - inf) = 0 in the backward pass."""
    empty = sums.total == 0
    total = jnp.where(empty, 1.0, sums.total)
    return (sums.out / total[..., None]).astype(dtype), jnp.where(
        empty, jnp.inf, sums.top + jnp.log(total)
    )


def block_gradients(
    q: Array,
    k: Array,
    v: Array,
    d_out: Array,
    log_sum: Array,
    delta: Array,
    visible: Array | None,
    scale: float,
) -> tuple[Array, Array, Array]:
    """Gradients of one block, the scale left out of the first two: d_query [B, H, K, M], d_key, d_value [B, H, L, K].

    With p = exp(s - log_sum) and delta_i = out_i . d_out_i::

        d_v = p^T d_out,   d_s = p * (d_out v^T - delta),   d_q = d_s k,   d_k = d_s^T q

    The scores stand transposed, keys by queries, so that d_v and d_k need no
    transposed left side; d_q is left transposed for the same reason.
    ``visible`` is of that shape too.
    """
    weights = jnp.exp(scale * product("bhlk,bhmk->bhlm", k, q) - log_sum[:, :, None, :])
    if visible is not None:
        weights = jnp.where(visible, weights, 0.0)
    weights = narrow(weights, q.dtype)
    d_weights = product("bhlk,bhmk->bhlm", v, d_out)
    d_scores = narrow(weights.astype(jnp.float32) * (d_weights - delta[:, :, None, :]), q.dtype)
    # The barrier keeps XLA from folding the transposition into the product.
    k_transposed = lax.optimization_barrier(k.swapaxes(-1, -2))
    return (
        product("bhkl,bhlm->bhkm", k_transposed, d_scores),
        product("bhlm,bhmk->bhlk", d_scores, q),
        product("bhlm,bhmk->bhlk", weights, d_out),
    )


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


def _positions(block: Int[Array, ""], size: int, start: int) -> Int[Array, "C"]:
    return start + block * size + jnp.arange(size)


def _pick(x, i):
    return lax.dynamic_index_in_dim(x, i, 0, keepdims=False)


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _attend(query, key, value, mask, band):
    return _forward(query, key, value, mask, band)[0]


def _forward(query, key, value, mask, band):
    N, B, H, C, K = query.shape
    before, after = reach(band.causal, band.window)

    def attend(carried):
        i, q = carried

        def step(j, sums, clear):
            visible = None if clear else _visible(i, j, C, mask, band)
            return merge(sums, attend_block(q, _pick(key, j), _pick(value, j), visible, band.scale))

        nothing = Partial(
            jnp.full((B, H, C), LOWEST), jnp.zeros((B, H, C)), jnp.zeros((B, H, C, K))
        )
        first, last = band.offset + i * C, band.offset + i * C + C - 1
        clear_high = jnp.minimum(first + after, band.length - 1) if mask is None else -1
        sums = _loop(
            first - before, last - before, clear_high, last + after, C, len(key), step, nothing
        )
        return finish(sums, query.dtype)

    return lax.map(attend, (jnp.arange(N), query))


def _visible(i, j, size, mask, band, transposed=False):
    """Block i of queries against block j of keys: [1 or B, 1, C, C], or keys by queries."""
    keys = _positions(j, size, 0)
    visible = allowed(
        _positions(i, size, band.offset)[:, None], keys[None, :], band.causal, band.window
    )
    valid = (keys < band.length)[None]
    if mask is not None:
        valid = _pick(mask, j)
    visible = visible[None, None] & valid[:, None, None, :]
    return visible.swapaxes(-1, -2) if transposed else visible


def _attend_forward(query, key, value, mask, band):
    out, log_sum = _forward(query, key, value, mask, band)
    return out, (query, key, value, mask, out, log_sum)


def _attend_backward(band, saved, d_out):
    query, key, value, mask, out, log_sum = saved
    N, B, H, C, K = query.shape
    before, after = reach(band.causal, band.window)
    delta = jnp.sum(out.astype(jnp.float32) * d_out.astype(jnp.float32), -1)

    def gradients(d_query, carried):
        j, k, v = carried

        def step(i, sums, clear):
            d_query, d_key, d_value = sums
            visible = None if clear else _visible(i, j, C, mask, band, transposed=True)
            rows = (_pick(x, i) for x in (d_out, log_sum, delta))
            d_q, d_k, d_v = block_gradients(_pick(query, i), k, v, *rows, visible, band.scale)
            d_query = lax.dynamic_update_index_in_dim(d_query, _pick(d_query, i) + d_q, i, 0)
            return d_query, d_key + d_k, d_value + d_v

        # Positions as the queries count them, from 0.
        first, last = j * C - band.offset, j * C - band.offset + C - 1
        whole = (mask is None) & (j * C + C <= band.length)
        clear_high = jnp.where(whole, first + before, -1)
        start = d_query, jnp.zeros((B, H, C, K)), jnp.zeros((B, H, C, K))
        d_query, d_key, d_value = _loop(
            first - after, last - after, clear_high, last + before, C, N, step, start
        )
        return d_query, ((band.scale * d_key).astype(key.dtype), d_value.astype(value.dtype))

    d_query = jnp.zeros((N, B, H, K, C))
    d_query, (d_key, d_value) = lax.scan(gradients, d_query, (jnp.arange(len(key)), key, value))
    d_query = (band.scale * d_query).astype(query.dtype).swapaxes(-1, -2)
    return d_query, d_key, d_value, None


_attend.defvjp(_attend_forward, _attend_backward)
