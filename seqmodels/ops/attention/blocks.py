"""A block of queries against a block of keys: what the forms of attention by blocks are made of.

A block gives three sums per query,

    top = max_j s_j,   total = sum_j exp(s_j - top),   out = sum_j exp(s_j - top) v_j,

and two such triples over different keys merge into one (Milakov & Gimelshein,
2018; Dao et al., 2022). Only the output and log(total) + top are kept for the
backward pass, which computes each block's weights again.

Arrays are cut into blocks [N, B, H, C, K], N of them: one block is contiguous.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Float, Int, Shaped
from seqmodels.ops.platform import platform

SCORES = {"cpu": 2**19}
"""Scores of one block over batch and heads: on CPU 2 MiB of float32, about a core's cache."""

SCORES_ELSEWHERE = 2**24
"""64 MiB: a block is a few kernels one after another, and each has to fill the machine."""

LOWEST = -1e30
"""Below any score, and finite: a row without keys must not take -inf from -inf."""


class Band(NamedTuple):
    """What decides which keys a query sees, and how scores are scaled: static."""

    causal: bool
    window: int | None
    offset: int
    length: int
    scale: float
    slopes: tuple[float, ...] | None = None
    """How fast each head's scores fall with the distance (ALiBi); None where they don't."""

    def bias(
        self, queries: Int[Array, "R C"], keys: Int[Array, "1 L"]
    ) -> Float[Array, "R H C L"] | None:
        """What the slopes add to the product of queries and keys, before it is scaled."""
        if self.slopes is None:
            return None
        slopes = jnp.array(self.slopes).reshape(1, -1, 1, 1) / self.scale
        distance = jnp.abs(queries[:, :, None] - keys[:, None]).astype(jnp.float32)
        return -slopes * distance[:, None]


class Partial(NamedTuple):
    """A softmax-weighted sum over some keys, not yet normalised; ``top`` is of scaled scores."""

    top: Float[Array, "B H C"]
    total: Float[Array, "B H C"]
    out: Float[Array, "B H C Kv"]


def block_scores() -> int:
    """How many scores, over batch and heads, may exist at a time on the current platform."""
    return SCORES.get(platform(), SCORES_ELSEWHERE)


def block_size(rows: int, length: int) -> int:
    """Queries (and keys) a block, for ``rows`` = batch times heads: a power of 2 from 64 to 512."""
    size = 64
    while size < min(512, length) and rows * (2 * size) ** 2 <= block_scores():
        size *= 2
    return size


def to_blocks(x: Shaped[Array, "B L H K"], size: int) -> Shaped[Array, "N B H C K"]:
    """Cuts the length into blocks, padding the last with zeros (False of masks)."""
    B, L, H, K = x.shape
    x = jnp.pad(x, ((0, 0), (0, -L % size), (0, 0), (0, 0)))
    return x.reshape(B, -1, size, H, K).transpose(1, 0, 3, 2, 4)


def from_blocks(x: Float[Array, "N B H C K"], length: int) -> Float[Array, "B L H K"]:
    """Undoes :func:`to_blocks`."""
    N, B, H, C, K = x.shape
    return x.transpose(1, 0, 3, 2, 4).reshape(B, N * C, H, K)[:, :length]


def for_each_head(x: Float[Array, "B L G K"], heads: int) -> Float[Array, "B L H K"]:
    """Keys or values, those of each head of the queries."""
    return jnp.repeat(x, heads // x.shape[2], axis=2)


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
    ``exp(x).astype(bfloat16)`` costs 2.4 times what this does. (Elsewhere either
    form disappears in the computation around it.)
    """
    if dtype != jnp.bfloat16:
        return x.astype(dtype)
    bits = lax.bitcast_convert_type(x, jnp.uint32) + jnp.uint32(0x8000)
    return lax.bitcast_convert_type((bits >> 16).astype(jnp.uint16), jnp.bfloat16)


def attend_block(
    q: Array, k: Array, v: Array, visible: Array | None, bias: Array | None, scale: float
) -> Partial:
    """Queries [B, H, M, K] over keys [B, H, L, K]; ``visible`` broadcasts, None is all True."""
    scores = _products(q, k, bias)
    if visible is not None:
        scores = jnp.where(visible, scores, -jnp.inf)
    top = jnp.maximum(scale * scores.max(-1), LOWEST)
    weights = narrow(jnp.exp(scale * scores - top[..., None]), v.dtype)
    total = weights.astype(jnp.float32).sum(-1)
    return Partial(top, total, product("bhml,bhlk->bhmk", weights, v))


def _products(q, k, bias):
    """The unscaled scores of queries and keys, with what their distance adds."""
    scores = product("bhmk,bhlk->bhml", q, k)
    return scores if bias is None else scores + bias


def merge(a: Partial, b: Partial) -> Partial:
    """The sum over the keys of both."""
    top = jnp.maximum(a.top, b.top)
    shrink_a, shrink_b = jnp.exp(a.top - top), jnp.exp(b.top - top)
    out = a.out * shrink_a[..., None] + b.out * shrink_b[..., None]
    return Partial(top, a.total * shrink_a + b.total * shrink_b, out)


def finish(sums: Partial, dtype: jnp.dtype) -> tuple[Array, Array]:
    """Output and log-sum-exp; 0 and inf for a row without keys, as exp(s - inf) = 0 later."""
    empty = sums.total == 0
    total = jnp.where(empty, 1.0, sums.total)
    return (sums.out / total[..., None]).astype(dtype), jnp.where(
        empty, jnp.inf, sums.top + jnp.log(total)
    )


def from_sums(log_sum: Float[Array, "N B H C"], length: int) -> Float[Array, "B L H"]:
    """The log-sum-exp of each query, very low for one without keys."""
    known = jnp.where(log_sum == jnp.inf, LOWEST, log_sum)
    return from_blocks(known[..., None], length)[..., 0]


class Rows(NamedTuple):
    """A block of queries, or all of them as blocks, as the backward pass meets them."""

    query: Float[Array, "*N B H C K"]
    d_out: Float[Array, "*N B H C Kv"]
    log_sum: Float[Array, "*N B H C"]
    delta: Float[Array, "*N B H C"]
    """out . d_out for each query, less the gradient of log_sum"""

    @classmethod
    def of(cls, query: Array, out: Array, log_sum: Array, d_out: Array, d_log_sum: Array) -> "Rows":
        """By what the forward pass has given and the gradients of it."""
        delta = jnp.sum(out.astype(jnp.float32) * d_out.astype(jnp.float32), -1) - d_log_sum
        return cls(query, d_out, log_sum, delta)

    def transposed(self) -> tuple[Float[Array, "*N B H K C"], Float[Array, "*N B H Kv C"]]:
        """Query and d_out, behind a barrier: XLA would fold the transposition into the product."""
        return lax.optimization_barrier((self.query.swapaxes(-1, -2), self.d_out.swapaxes(-1, -2)))


def block_gradients(
    rows: Rows,
    transposed: tuple[Array, Array],
    k: Array,
    v: Array,
    visible: Array | None,
    bias: Array | None,
    scale: float,
) -> tuple[Float[Array, "B H C K"], Float[Array, "B H K L"], Float[Array, "B H Kv L"]]:
    """A block's part of the gradients of queries, keys and values.

    The first two are unscaled::

        p = exp(s - log_sum)        d_s = p * (d_out v^T - delta)
        d_q = d_s k        d_k^T = q^T d_s        d_v^T = d_out^T p
    """
    q, d_out, log_sum, delta = rows
    q_transposed, d_out_transposed = transposed
    weights = jnp.exp(scale * _products(q, k, bias) - log_sum[..., None])
    if visible is not None:
        weights = jnp.where(visible, weights, 0.0)
    weights = narrow(weights, q.dtype)
    d_weights = product("bhmk,bhlk->bhml", d_out, v)
    d_scores = narrow(weights.astype(jnp.float32) * (d_weights - delta[..., None]), q.dtype)
    return (
        product("bhml,bhlk->bhmk", d_scores, k),
        product("bhkm,bhml->bhkl", q_transposed, d_scores),
        product("bhkm,bhml->bhkl", d_out_transposed, weights),
    )
