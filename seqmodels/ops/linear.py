"""The matrix products under every projection."""

import math
from collections.abc import Callable

import jax.numpy as jnp

from seqmodels.arrays import AnyArray, Array, Float
from seqmodels.ops.by_parts import POSITIONS, WHOLE, by_parts, shares


def linear(
    x: Float[AnyArray, "*B D"], weights: Float[Array, "D F"], bias: Float[Array, "F"] | None = None
) -> Float[Array, "*B F"]:
    """``x @ weights + bias`` in the dtype of x.

    The leading axes are flattened first: the weight gradient of a product of rank 3
    contracts over two axes, which on CPU takes 2 to 3 times as long as over one.
    """

    def flattened(x, weights, bias):
        flat = jnp.asarray(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])  # [B*L, D]
        y = flat @ weights.astype(x.dtype)
        if bias is not None:
            y = y + bias.astype(x.dtype)[None]
        return y.reshape(*x.shape[:-1], weights.shape[-1])

    return _by_device(flattened, x, weights, bias)


def linear_in_blocks(
    x: Float[Array, "B L E"], weights: Float[Array, "H K F"]
) -> Float[Array, "B L H F"]:
    """``x_h @ weights_h`` of the H blocks into which x is cut, flattened as there."""

    def flattened(x, weights):
        blocks = x.reshape(-1, *weights.shape[:2])
        y = jnp.einsum("phk,hkf->phf", blocks, weights.astype(x.dtype))
        return y.reshape(*x.shape[:2], *y.shape[1:])

    return _by_device(flattened, x, weights)


def _by_device(function: Callable[..., Array], x: AnyArray, *weights: Array | None) -> Array:
    """Where devices share the positions each flattens its own: all of them, rows and positions as
    one axis, lie in parts that no sharding names, and would be gathered.
    """
    if x.ndim != 3 or shares("sequence", x.shape[1]) == 1:
        return function(x, *weights)
    in_specs = (POSITIONS, *[WHOLE] * len(weights))
    return by_parts(function, x.shape, in_specs, POSITIONS)(x, *weights)
