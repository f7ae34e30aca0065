"""Scaled dot-product attention: the one seam between layers and its implementations.

    out_i = sum_j softmax_j(scale * q_i . k_j) v_j     over the keys j that query i may see

:func:`attention` picks a form by size; :func:`attention_reference` is the plain
statement of what every form computes. Scores, softmax and sums are float32
whatever the inputs.
"""

import jax
import jax.numpy as jnp

from seqmodels.arrays import Array, Bool, Float, Int
from seqmodels.ops.blocked_attention import blocked_attention
from seqmodels.ops.visibility import allowed

PLAIN_SCORES = 128 * 128
"""Up to this many scores a head (queries times keys) the plain form is the faster one."""


def attention(
    query: Float[Array, "B M H K"],
    key: Float[Array, "B L H K"],
    value: Float[Array, "B L H K"],
    *,
    causal: bool,
    window: int | None = None,
    mask: Bool[Array, "B L"] | None = None,
    offset: int | Int[Array, ""] | Int[Array, "B"] = 0,
    scale: float | None = None,
) -> Float[Array, "B M H K"]:
    """Attends from M queries to L keys; query i stands at position ``offset + i``.

    ``causal`` lets a query see the keys up to its own position. ``window=W``
    leaves it W keys, its own included (causal), or W on each side and its own;
    None leaves it all of them. ``mask`` is True where a key is valid. A query
    that may see no key gets 0, and passes no gradient. ``scale`` defaults to
    K ** -0.5.

    A traced ``offset``, one or one a row (decoding into a preallocated cache), takes
    the plain form: M * L scores, or M * (W + M - 1) under a causal window.
    """
    if window is not None and window < 1:
        raise ValueError(
            f"window is {window}; it counts keys and must be at least 1, or None for all keys"
        )
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    static = isinstance(offset, int)
    if static and query.shape[1] * key.shape[1] > PLAIN_SCORES:
        return blocked_attention(query, key, value, mask, causal, window, offset, scale)
    return attention_reference(
        query, key, value, causal=causal, window=window, mask=mask, offset=offset, scale=scale
    )


def attention_reference(
    query: Float[Array, "B M H K"],
    key: Float[Array, "B L H K"],
    value: Float[Array, "B L H K"],
    *,
    causal: bool,
    window: int | None = None,
    mask: Bool[Array, "B L"] | None = None,
    offset: int | Int[Array, ""] | Int[Array, "B"] = 0,
    scale: float | None = None,
) -> Float[Array, "B M H K"]:
    """:func:`attention` with all B * H * M * L scores in memory."""
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = scale * jnp.einsum("bmhk,blhk->bhml", query, key, preferred_element_type=jnp.float32)
    rows = jnp.reshape(jnp.asarray(offset), (-1, 1, 1, 1))  # [B or 1, 1, 1, 1]
    query_position = rows + jnp.arange(query.shape[1]).reshape(1, 1, -1, 1)
    key_position = jnp.arange(key.shape[1]).reshape(1, 1, 1, -1)
    visible = allowed(query_position, key_position, causal, window)  # [B or 1, 1, M, L]
    if mask is not None:
        visible = visible & mask[:, None, None, :]
    # A finite floor: a row of -inf alone would be NaN, and so would its gradient.
    scores = jnp.where(visible, scores, jnp.finfo(jnp.float32).min)
    weights = jnp.where(visible, jax.nn.softmax(scores, axis=-1), 0.0)
    out = jnp.einsum(
        "bhml,blhk->bmhk", weights.astype(value.dtype), value, preferred_element_type=jnp.float32
    )
    return out.astype(query.dtype)
