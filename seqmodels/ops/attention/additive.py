"""Additive attention: a small network scores every pair of query and key.

    out_i = sum_j softmax_j(v . tanh(q_i + k_j)) value_j       (Bahdanau et al. 2015)

The tanh is as wide as a head for every pair, so it is no matrix product, and
only a few queries' worth of it exists at a time: memory is linear in the length.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Bool, Float, Int
from seqmodels.ops.attention.across import additive_across
from seqmodels.ops.attention.visibility import allowed
from seqmodels.ops.forms import Form, Operation

Score = Literal["scaled_dot", "dot", "additive"]
"""How well query q and key k match: "scaled_dot" is q . k / sqrt(K) (Vaswani et al. 2017), "dot" is
q . k (Luong et al. 2015), "additive" is v . tanh(q + k) with a learned v for each head."""

BLOCK_FEATURES = 2**22
"""Up to so many features of tanh exist at a time, unless one query needs more: 16 MiB."""


def additive_attention(
    query: Float[Array, "B M H K"],
    key: Float[Array, "B L H K"],
    value: Float[Array, "B L H K"],
    vector: Float[Array, "H K"],
    *,
    causal: bool,
    window: int | None = None,
    mask: Bool[Array, "B L"] | None = None,
    offset: int | Int[Array, ""] | Int[Array, "B"] = 0,
    form: str | None = None,
) -> Float[Array, "B M H K"]:
    """Attends as :func:`seqmodels.ops.attention.dot_product.attention` does, with additive scores.

    ``vector`` is v of every head; scores and sums are float32. ``form`` names one in ADDITIVE.
    """
    positions = jnp.reshape(jnp.asarray(offset), (-1, 1)) + jnp.arange(query.shape[1])[None]
    return ADDITIVE(query, key, value, vector, positions, mask, causal, window, form=form)


def additive_weights(
    query: Float[Array, "B M H K"],
    key: Float[Array, "B L H K"],
    vector: Float[Array, "H K"],
    *,
    causal: bool,
    window: int | None = None,
    mask: Bool[Array, "B L"] | None = None,
    positions: Int[Array, "#B M"] | None = None,
) -> Float[Array, "B H M L"]:
    """How much of each key's value a query takes; 0 everywhere for one that sees no key.

    ``positions`` are those of the queries, counted from 0 if None.
    """
    if positions is None:
        positions = jnp.arange(query.shape[1])[None]
    keys = jnp.arange(key.shape[1])[None, None]
    visible = allowed(positions[:, :, None], keys, causal, window)[:, None]  # [B or 1, 1, M, L]
    if mask is not None:
        visible = visible & mask[:, None, None, :]
    hidden = jnp.tanh(
        query.astype(jnp.float32)[:, :, None] + key.astype(jnp.float32)[:, None]
    )  # [B, M, L, H, K]
    scores = jnp.einsum("bmlhk,hk->bhml", hidden, vector.astype(jnp.float32))
    scores = jnp.where(visible, scores, jnp.finfo(jnp.float32).min)
    return jnp.where(visible, jax.nn.softmax(scores, axis=-1), 0.0)


def _whole(query, key, value, vector, positions, mask, causal, window):
    """All pairs at once."""
    weights = additive_weights(
        query, key, vector, causal=causal, window=window, mask=mask, positions=positions
    )
    out = jnp.einsum("bhml,blhk->bmhk", weights, value.astype(jnp.float32))
    return out.astype(query.dtype)


def _block_size(query, key):
    """Queries whose features of tanh exist at a time."""
    (B, M, H, K), L = query.shape, key.shape[1]
    return max(1, min(M, BLOCK_FEATURES // max(1, B * H * L * K)))


def _by_blocks(query, key, value, vector, positions, mask, causal, window):
    """Blocks of queries, one after another; the backward pass computes their scores again."""
    B, M, H, K = query.shape
    size = _block_size(query, key)
    blocks = -(-M // size)

    def cut(x):
        x = jnp.pad(x, ((0, 0), (0, blocks * size - M)) + ((0, 0),) * (x.ndim - 2))
        return x.reshape(x.shape[0], blocks, size, *x.shape[2:]).swapaxes(0, 1)

    @jax.checkpoint
    def attend(block):
        return _whole(block[0], key, value, vector, block[1], mask, causal, window)

    out = lax.map(attend, (cut(query), cut(positions)))  # [blocks, B, size, H, K]
    return out.swapaxes(0, 1).reshape(B, blocks * size, H, K)[:, :M]


def _fits_a_block(query, key, *rest):
    return _block_size(query, key) == query.shape[1]


ADDITIVE = Operation(
    "additive attention",
    {"whole": Form(_whole, suits=_fits_a_block), "blocks": Form(_by_blocks)},
    across=additive_across,
)
"""Of (query, key, value, vector, positions of the queries, mask, causal, window)."""
