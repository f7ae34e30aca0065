"""The matrix product under every projection."""

import math

import jax.numpy as jnp

from seqmodels.arrays import AnyArray, Array, Float


def linear(
    x: Float[AnyArray, "*B D"], weights: Float[Array, "D F"], bias: Float[Array, "F"] | None = None
) -> Float[Array, "*B F"]:
    """``x @ weights + bias`` in the dtype of x.

    The leading axes are flattened first: the weight gradient of a product of rank 3
    contracts over two axes, which on CPU takes 2 to 3 times as long as over one.
    """
    flat = jnp.asarray(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])  # [B*L, D]
    y = flat @ weights.astype(x.dtype)
    if bias is not None:
        y = y + bias.astype(x.dtype)[None]
    return y.reshape(*x.shape[:-1], weights.shape[-1])
