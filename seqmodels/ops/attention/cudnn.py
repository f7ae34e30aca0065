"""Attention by cuDNN's flash attention, on NVIDIA GPUs."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from seqmodels.ops.attention.visibility import blank_unseeing, meets_padding, reach

CUDNN_WIDTH = 128
"""The widest head that cuDNN takes on every GPU since Ampere, both passes (Hopper takes 256)."""

HUGE = 2.0**15
"""In float16's range; its square, times any scale, leaves exp nothing of a masked score."""


class _Layout(NamedTuple):
    """How a call is brought to what cuDNN takes; see :func:`cudnn_attention`."""

    shift: int
    """Dummy queries before the first."""
    queries: int
    """With the dummy ones, an even number."""
    keys: int
    masked: bool
    """Whether a feature says which keys are valid: some are masked, or padding is in sight."""
    width: int
    """Of a head."""


def _layout(M, L, K, causal, window, masked, offset) -> _Layout:
    after = reach(causal, window)[1]
    if not causal and window is None:
        shift, queries, keys = 0, M + M % 2, L + L % 2
    else:
        shift = offset + after
        queries = keys = max(shift + M, L) + max(shift + M, L) % 2
    masked = masked or (keys > L and meets_padding(M, L, after, offset))
    return _Layout(shift, queries, keys, masked, -(-(K + masked) // 8) * 8)


def cudnn_refusal(query, key, causal, window, masked, offset) -> str | None:
    """Why :func:`cudnn_attention` can't do a call in which each query has a key in reach."""
    M, L = query.shape[1], key.shape[1]
    layout = _layout(M, L, query.shape[3], causal, window, masked, offset)
    if query.dtype not in (jnp.bfloat16, jnp.float16):
        return f"it takes bfloat16 and float16, and this is {query.dtype}"
    if layout.width > CUDNN_WIDTH:
        return f"a head is {layout.width} wide with its mask, above {CUDNN_WIDTH}"
    if layout.shift > M:
        return f"its {M} queries would stand behind {layout.shift} dummy ones"
    if jax.default_backend() == "gpu" and float(jax.devices()[0].compute_capability) < 8:
        return "this GPU is older than Ampere"
    return None


def cudnn_attention(query, key, value, mask, causal, window, offset, scale):
    """cuDNN's flash attention, by way of :func:`jax.nn.dot_product_attention`.

    It takes 16-bit numbers, even lengths, heads in eights of features and knows two
    masks, both with as many queries as keys: causal, and a causal window. All else
    is brought to those:

    - Queries that see W keys ahead, or that start at an offset, are moved back by as
      many positions, behind dummy queries: a window of W on each side is a causal
      one of 2 W + 1.
    - A mask of keys is one feature more: HUGE in a query, -HUGE in a masked key and 0
      in a valid one, so that a valid score stays what it is and a masked one
      vanishes. As a bias, which is how cuDNN takes a mask, it would have M * L entries.

    It can't take float32, K above 128 (127 with a mask), or more dummy queries than real ones.
    """
    (B, M, _, K), L = query.shape, key.shape[1]
    before, after = reach(causal, window)
    layout = _layout(M, L, K, causal, window, mask is not None, offset)

    def widen(x, first, length, feature):
        """Puts a feature behind those of a head, and zeros around everything."""
        x = jnp.pad(x, ((0, 0), (first, length - first - x.shape[1]), (0, 0), (0, 0)))
        if feature is not None:
            feature = jnp.broadcast_to(feature.astype(x.dtype), (*x.shape[:3], 1))
            x = jnp.concatenate([x, feature], axis=3)
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, layout.width - x.shape[3])))

    query_feature = key_feature = None
    if layout.masked:
        valid = jnp.ones((B, L), bool) if mask is None else mask
        valid = jnp.pad(valid, ((0, 0), (0, layout.keys - L)))
        query_feature = jnp.full((1, 1, 1, 1), HUGE)
        key_feature = jnp.where(valid, 0.0, -HUGE)[:, :, None, None]
    out = jax.nn.dot_product_attention(
        widen(query, layout.shift, layout.queries, query_feature),
        widen(key, 0, layout.keys, key_feature),
        widen(value, 0, layout.keys, None),
        scale=scale,
        # A window without it would leave later keys in sight.
        is_causal=causal or window is not None,
        local_window_size=None if window is None else (before + after, 0),
        implementation="cudnn",
    )
    out = out[:, layout.shift : layout.shift + M, :, :K]
    return blank_unseeing(out, mask, causal, window, offset)
