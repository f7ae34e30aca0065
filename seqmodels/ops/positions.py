"""Position encodings: added sinusoids, rotations, slopes, and relative positions."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import AnyArray, Array, Bool, Float, Int, Key


def sinusoidal(positions: Int[Array, "*B L"], width: int) -> Float[Array, "*B L D"]:
    """Sines and cosines of each position, in float32 (Vaswani et al. 2017, section 3.5).

    The first half of the features are the sines, the second half the cosines, at
    wavelengths from 2 pi to 10,000 * 2 pi.
    """
    angles = _angles(positions, width)
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def rotate(
    x: Float[Array, "B L H K"],
    positions: Int[Array, "#B L"],
    frequencies: Float[Array, "#B f"] | None = None,
) -> Float[Array, "B L H K"]:
    """Rotary encoding: turns each pair of features by its position (Su et al. 2021, eq. 34).

    Feature k is paired with k + K/2. The inner product of two rotated vectors
    depends on their distance alone. Angles are taken in float32: beyond some
    million positions their rounding shows. ``frequencies`` are each row's radians a position,
    for each of the K / 2 pairs; by default 10,000^(-2k / K).
    """
    angles = _angles(positions, x.shape[-1], frequencies)[:, :, None]  # [B, L, 1, K/2]
    sine, cosine = sine_and_cosine(angles)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = [first * cosine - second * sine, second * cosine + first * sine]
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def scaled_frequencies(
    kind: Literal["linear", "ntk"], lengths: Int[Array, "B"], trained_length: int, head_width: int
) -> Float[Array, "B f"]:
    """Rotary frequencies for sequences that are longer than those of training.

    With s = length / trained_length, or 1 up to that: "linear" divides all by s, so that no angle
    lies beyond the trained ones (Chen et al. 2023); "ntk" raises the base to 10,000 s^(K / (K -
    2)): the slowest pair is slowed by s and the fastest stays (bloc97 2023, in Peng et al.
    2023, section 3.1).

    >>> slowed = scaled_frequencies("linear", jnp.array([64, 256]), trained_length=64, head_width=4)
    >>> (1 / slowed).round().tolist()
    [[1.0, 100.0], [4.0, 400.0]]
    """
    factor = jnp.maximum(1.0, lengths.astype(jnp.float32) / trained_length)[:, None]
    plain = _frequencies(head_width)[None]
    if kind == "linear":
        return plain / factor
    pairs = jnp.arange(head_width // 2, dtype=jnp.float32)[None]
    return plain * factor ** (-2 * pairs / (head_width - 2))


def spread_positions(
    positions: Int[Array, "#B L"], below: int, rows: Int[Array, "B"]
) -> Int[Array, "B L"]:
    """Positions further apart: those of a row of so many take all the room below a bound."""
    return positions * (below // jnp.maximum(rows, 1))[:, None]


def draw_positions(
    length: int,
    below: int,
    rows: Int[Array, "B"],
    key: Key[Array, ""],
    valid: Bool[AnyArray, "B L"] | None = None,
) -> Int[Array, "B L"]:
    """Positions drawn among more than a sequence has, in order (randomised, Ruoss et al. 2023).

    Each row's are a random subset of as many as it is long: what is trained on short sequences
    meets all positions and distances that long ones have. Those beyond a row's length go on as
    :func:`spread_positions`; what is no padding takes one each.
    """
    places = jnp.arange(length)[None]
    drawn = jax.random.choice(key, below, (length,), replace=False)[None]
    own = jnp.sort(jnp.where(places < rows[:, None], drawn, below), axis=1)
    if valid is None:
        return jnp.where(places < rows[:, None], own, spread_positions(places, below, rows))
    order = jnp.maximum(jnp.cumsum(jnp.asarray(valid), axis=1) - 1, 0)
    return jnp.take_along_axis(own, order, axis=1)


def alibi_slopes(heads: int) -> tuple[float, ...]:
    """How fast each head's scores fall with the distance (Press et al. 2022, section 3).

    For a power of 2 a geometric sequence from 2^(-8/heads) on; otherwise that of the power
    below, and then every other one of the power above.

    >>> alibi_slopes(4), alibi_slopes(3)
    ((0.25, 0.0625, 0.015625, 0.00390625), (0.0625, 0.00390625, 0.25))
    """
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2.0 ** (-8 * (i + 1) / power) for i in range(power)]
    between = [2.0 ** (-8 * (i + 1) / (2 * power)) for i in range(0, 2 * power, 2)]
    return tuple(slopes + between[: heads - power])


def relative_query(
    query: Float[Array, "B L H K"], projection: Float[Array, "H K K"], positions: Int[Array, "#B L"]
) -> Float[Array, "B L H K"]:
    """What meets :func:`relative_key` in ``query_i . projection s(i - j)``, s sinusoidal.

    The score of Transformer-XL's relative positions (Dai et al. 2019, section 3.3) without an
    array of all pairs: sin(i - j) and cos(i - j) are products of functions of i and of j, so
    the sum over features is one inner product of a vector at i with one at j.
    """
    turned = jnp.einsum("blhk,hkf->blhf", query, projection.astype(query.dtype))
    for_sine, for_cosine = jnp.split(turned.astype(jnp.float32), 2, axis=-1)
    angles = _angles(positions, query.shape[-1])[:, :, None]  # [B, L, 1, K/2]
    sine, cosine = sine_and_cosine(angles)
    by_cosine = for_sine * sine + for_cosine * cosine
    by_sine = for_cosine * sine - for_sine * cosine
    return jnp.concatenate([by_cosine, by_sine], axis=-1).astype(query.dtype)


def relative_key(positions: Int[Array, "B L"], width: int) -> Float[Array, "B L K"]:
    """Cosines and sines of each key's position, in float32."""
    angles = _angles(positions, width)
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


def sine_and_cosine(angles: Float[Array, "*B"]) -> tuple[Array, Array]:
    """Both, computed once: XLA would compute them again for every row, head and product."""
    return lax.optimization_barrier((jnp.sin(angles), jnp.cos(angles)))


def _frequencies(width: int) -> Float[Array, "f"]:
    return 10_000.0 ** (-jnp.arange(width // 2, dtype=jnp.float32) / (width // 2))


def _angles(
    positions: Int[Array, "*B L"], width: int, frequencies: Float[Array, "rows f"] | None = None
) -> Float[Array, "... L f"]:
    if frequencies is None:
        frequencies = _frequencies(width).reshape(*(1,) * (positions.ndim - 1), -1)
    return positions[..., None].astype(jnp.float32) * frequencies[..., None, :]
