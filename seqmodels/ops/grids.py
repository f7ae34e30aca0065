"""Grids: reading one as a sequence and back, and means over its windows."""

import math
from typing import Literal

import jax.numpy as jnp

from seqmodels.arrays import AnyArray, Array, Bool, Float, Shaped

ScanOrder = Literal["rows", "columns"]
"""Row after row (the last axis runs fastest), or column after column (the first does)."""


def grid_to_sequence(x: Shaped[AnyArray, "B *L D"], order: ScanOrder) -> Shaped[Array, "B S D"]:
    """Reads a grid as a sequence of S = prod(L) positions.

    >>> grid_to_sequence(jnp.arange(6).reshape(1, 2, 3, 1), "columns")[0, :, 0].tolist()
    [0, 3, 1, 4, 2, 5]
    """
    x = jnp.asarray(x)
    if order == "columns":
        x = jnp.transpose(x, (0, *range(x.ndim - 2, 0, -1), x.ndim - 1))
    return jnp.reshape(x, (x.shape[0], -1, x.shape[-1]))


def sequence_to_grid(
    x: Shaped[Array, "B S D"], axes: tuple[int, ...], order: ScanOrder
) -> Shaped[Array, "B *L D"]:
    """Undoes :func:`grid_to_sequence` for a grid of the axes given."""
    if order == "rows":
        return x.reshape(x.shape[0], *axes, x.shape[-1])
    x = x.reshape(x.shape[0], *axes[::-1], x.shape[-1])
    return jnp.transpose(x, (0, *range(x.ndim - 2, 0, -1), x.ndim - 1))


def average_windows(
    x: Float[AnyArray, "B *L D"], mask: Bool[AnyArray, "B *L"] | None, stride: int
) -> tuple[Float[Array, "B *M D"], Bool[Array, "B *M"] | None]:
    """The mean of the real positions in each window of ``stride`` positions an axis.

    Windows do not overlap, and the last of an axis may be cut short: M = ceil(L / stride). Also
    returns which windows hold a real position; None where all positions are real.
    """
    real = jnp.ones(x.shape[:-1], bool) if mask is None else jnp.asarray(mask)
    total = _window_sums(jnp.where(real[..., None], jnp.asarray(x), jnp.zeros((), x.dtype)), stride)
    count = _window_sums(real[..., None], stride)
    mean = (total / jnp.maximum(count, 1)).astype(x.dtype)
    return mean, None if mask is None else count[..., 0] > 0


def _window_sums(x, stride):
    axes = x.shape[1:-1]
    x = jnp.pad(x, ((0, 0), *((0, -length % stride) for length in axes), (0, 0)))
    split = [part for length in axes for part in (-(-length // stride), stride)]
    x = x.reshape(x.shape[0], *split, x.shape[-1])
    # In float32: bfloat16 counts no further than 256.
    return x.sum(tuple(2 * i + 2 for i in range(len(axes))), dtype=jnp.float32)


def patches(x: Float[AnyArray, "B *L features"], size: int) -> Float[Array, "B *M patch_features"]:
    """Cuts a grid into patches of ``size`` positions an axis, each one vector of all its features.

    Every axis must be a multiple of ``size``; M = L / size.
    """
    axes = x.shape[1:-1]
    rank = len(axes)
    split = [part for length in axes for part in (length // size, size)]
    x = jnp.asarray(x).reshape(x.shape[0], *split, x.shape[-1])
    outer, inner = range(1, 2 * rank, 2), range(2, 2 * rank + 1, 2)
    x = x.transpose(0, *outer, *inner, 2 * rank + 1)
    return x.reshape(*x.shape[: rank + 1], x.shape[-1] * math.prod([size] * rank))
