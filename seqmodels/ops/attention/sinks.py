"""Attention to a few keys more: sinks, which stay in sight wherever a window lies."""

import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Float, Int


def join_sinks(
    out: Float[Array, "B M H Kv"],
    log_sum: Float[Array, "B M H"],
    scores: Float[Array, "B M H S"],
    values: Float[Array, "B S G Kv"],
    logits: Float[Array, "H"] | None,
) -> Float[Array, "B M H Kv"]:
    """What attention over some keys gives, with further keys and a part of each head's for none.

    Args:
      out: the sums over the keys, with the log of their weights' total, as of
        :func:`~seqmodels.ops.attention.dot_product.attention_and_sums`.
      scores: of the further keys, -inf where one isn't seen.
      values: theirs.
      logits: of a key without a value that all see (OpenAI 2025, gpt-oss); None for none.
    """
    kept, more = _shares(log_sum, scores, logits)
    values = jnp.repeat(values, out.shape[2] // values.shape[2], axis=2).astype(jnp.float32)
    added = jnp.einsum("bmhs,bshk->bmhk", more, values)
    return (out.astype(jnp.float32) * kept[..., None] + added).astype(out.dtype)


def sink_weights(
    weights: Float[Array, "B H M L"],
    log_sum: Float[Array, "B M H"],
    scores: Float[Array, "B M H S"],
    places: Int[Array, "#B S"],
    logits: Float[Array, "H"] | None,
) -> Float[Array, "B H M L"]:
    """How much each query takes of each key, the further ones at their places among them."""
    kept, more = (share.swapaxes(1, 2) for share in _shares(log_sum, scores, logits))
    places = jnp.broadcast_to(places, (len(weights), places.shape[1]))
    rows = jnp.arange(len(weights))[:, None]
    added = jnp.moveaxis(weights * kept[..., None], 3, 1)  # [B, L, H, M]
    return jnp.moveaxis(added.at[rows, places].add(jnp.moveaxis(more, 3, 1), mode="drop"), 1, 3)


def _shares(log_sum, scores, logits):
    """Of all weights those of the keys that out is of, together, and those of the further ones."""
    top = jnp.maximum(log_sum, scores.max(axis=-1, initial=-jnp.inf))
    if logits is not None:
        logits = logits.astype(jnp.float32).reshape(1, 1, -1)
        top = jnp.maximum(top, logits)
    top = lax.stop_gradient(top)
    kept, more = jnp.exp(log_sum - top), jnp.exp(scores - top[..., None])
    total = kept + more.sum(axis=-1)
    if logits is not None:
        total = total + jnp.exp(logits - top)
    return kept / total, more / total[..., None]
