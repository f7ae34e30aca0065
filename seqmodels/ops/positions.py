"""Position encodings: sinusoids that are added, and rotations of queries and keys."""

import jax.numpy as jnp

from seqmodels.arrays import Array, Float, Int


def sinusoidal(positions: Int[Array, "*B L"], width: int) -> Float[Array, "*B L D"]:
    """Sines and cosines of each position, in float32 (Vaswani et al. 2017, section 3.5).

    The first half of the features are the sines, the second half the cosines, at
    wavelengths from 2 pi to 10,000 * 2 pi.
    """
    angles = _angles(positions, width)
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def rotate(x: Float[Array, "B L H K"], positions: Int[Array, "B L"]) -> Float[Array, "B L H K"]:
    """Rotary encoding: turns each pair of features by its position (Su et al. 2021, eq. 34).

    Feature k is paired with k + K/2. The inner product of two rotated vectors
    depends on their distance alone. Angles are taken in float32: beyond some
    million positions their rounding shows.
    """
    angles = _angles(positions, x.shape[-1])[:, :, None]  # [B, L, 1, K/2]
    sine, cosine = jnp.sin(angles), jnp.cos(angles)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = [first * cosine - second * sine, second * cosine + first * sine]
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def _angles(positions: Int[Array, "*B L"], width: int) -> Float[Array, "*B L K"]:
    frequencies = 10_000.0 ** (-jnp.arange(width // 2, dtype=jnp.float32) / (width // 2))
    ones = (1,) * positions.ndim
    return positions[..., None].astype(jnp.float32) * frequencies.reshape(*ones, -1)
