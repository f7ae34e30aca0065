"""Convolution over one axis."""

import jax
import jax.numpy as jnp

from seqmodels.arrays import Array, Float


def convolution(
    x: Float[Array, "B L D"], weights: Float[Array, "kernel D F"], dilation: int = 1
) -> Float[Array, "B M F"]:
    """``y_t = sum_i x_{t + i * dilation} @ weights_i`` where the whole kernel fits.

    The output has M = L - (kernel - 1) * dilation positions: the caller pads, with
    zeros or with what came before, and so decides what an output may see.
    """
    return jax.lax.conv_general_dilated(
        x,
        weights.astype(x.dtype),
        window_strides=(1,),
        padding="VALID",
        rhs_dilation=(dilation,),
        dimension_numbers=("NWC", "WIO", "NWC"),
    )


def convolution_reference(
    x: Float[Array, "B L D"], weights: Float[Array, "kernel D F"], dilation: int = 1
) -> Float[Array, "B M F"]:
    """:func:`convolution` as a sum of shifted products."""
    kernel = weights.shape[0]
    length = x.shape[1] - (kernel - 1) * dilation
    shifted = [x[:, i * dilation : i * dilation + length] for i in range(kernel)]
    return sum(s @ w for s, w in zip(shifted, weights, strict=True)) + jnp.zeros((), x.dtype)
