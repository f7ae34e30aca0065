"""Position encodings against loops, and the property that makes rotations useful."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.ops.positions import (
    draw_positions,
    relative_key,
    relative_query,
    rotate,
    scaled_frequencies,
    sinusoidal,
    spread_positions,
)
from tests.fusions import computed_again

WIDTH = 8
EYE = jnp.eye(WIDTH)[None]


def frequency(pair: int) -> float:
    """Radians a position, from 1 down to almost 1 / 10,000."""
    return 10_000 ** (-pair / (WIDTH // 2))


def turned(vector: np.ndarray, position: int) -> np.ndarray:
    """A vector [K] with each of its pairs turned, by complex numbers."""
    pairs = vector[: WIDTH // 2] + 1j * vector[WIDTH // 2 :]
    pairs = pairs * [np.exp(1j * position * frequency(k)) for k in range(WIDTH // 2)]
    return np.concatenate([pairs.real, pairs.imag])


def test_sinusoidal_equals_a_loop():
    positions = np.array([[0, 1, 2, 63], [5, 130, 1000, 4095]])
    expected = np.zeros((2, 4, WIDTH))
    for row, place in np.ndindex(2, 4):
        for k in range(WIDTH // 2):
            angle = positions[row, place] * frequency(k)
            expected[row, place, k] = math.sin(angle)
            expected[row, place, k + WIDTH // 2] = math.cos(angle)
    encoding = np.asarray(jax.jit(sinusoidal, static_argnums=1)(positions, WIDTH))
    assert encoding.dtype == jnp.float32
    np.testing.assert_allclose(encoding, expected, atol=3e-4)  # an angle of 4095 to 24 bits
    np.testing.assert_allclose(encoding[:, :2], expected[:, :2], atol=1e-5)


def test_rotate_turns_every_pair_by_its_position():
    x = np.random.default_rng(0).normal(size=(2, 5, 3, WIDTH)).astype(np.float32)
    positions = np.array([[0, 1, 2, 3, 4], [7, 8, 9, 10, 100]])
    expected = np.zeros(x.shape)
    for row, place, head in np.ndindex(2, 5, 3):
        expected[row, place, head] = turned(x[row, place, head], positions[row, place])
    actual = jax.jit(rotate)(x, positions)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=3e-5)


@jax.jit
def scores(query, key, start):
    """Inner products [L, L] of vectors [L, K] that stand at start, start + 1, ..."""
    positions = start + jnp.arange(len(query))[None]
    query, key = (rotate(x[None, :, None], positions)[0, :, 0] for x in (query, key))
    return query @ key.T


@pytest.mark.parametrize("shift", [1, 63, 1000])
def test_inner_products_depend_on_distance_alone(shift):
    query, key = np.random.default_rng(0).normal(size=(2, 64, WIDTH)).astype(np.float32)
    here = scores(query, key, 0)
    np.testing.assert_allclose(scores(query, key, shift), here, atol=1e-3)
    # The same two vectors everywhere: a score is constant along a diagonal.
    same = scores(np.tile(query[0], (64, 1)), np.tile(key[0], (64, 1)), shift)
    for distance in (-20, 0, 5):
        diagonal = np.diag(same, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-3)
    assert abs(same[0, 5] - same[0, 6]) > 0.1


def test_rotate_keeps_the_dtype_and_computes_in_float32():
    x = np.random.default_rng(0).normal(size=(1, 1, 1, WIDTH)).astype(np.float32)
    far = np.array([[1001]])  # bfloat16 would round it to 1000
    both = jax.jit(lambda far, *xs: [rotate(x, far) for x in xs])
    half, full = both(far, x.astype(jnp.bfloat16), x)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(half, np.float32), full, atol=0.05)


def test_relative_scores_are_those_of_all_pairs():
    """Against s(i - j) written out for every pair (Dai et al. 2019)."""
    random = np.random.default_rng(0)
    query = random.normal(size=(1, 9, 2, 6)).astype(np.float32)
    projection = random.normal(size=(2, 6, 6)).astype(np.float32)
    positions = np.arange(9)[None] + 5
    turned, keys = jax.jit(lambda *given: (relative_query(*given), relative_key(given[-1], 6)))(
        query, projection, positions
    )
    scores = np.einsum("bmhf,blf->bhml", turned, keys)
    offsets = np.arange(9)[:, None] - np.arange(9)[None]
    frequencies = 10_000.0 ** (-np.arange(3) / 3)
    angles = offsets[:, :, None] * frequencies
    sinusoids = np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)  # [9, 9, 6]
    expected = np.einsum("bmhk,hkf,mlf->bhml", query, projection, sinusoids)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("encode", [rotate, lambda x, positions: relative_query(x, EYE, positions)])
def test_angles_are_turned_into_sines_once_for_all_rows(encode):
    def loss(x):
        return jnp.sum(encode(x, jnp.arange(16)[None]) ** 3)

    rows = jnp.ones((5, 16, 1, WIDTH))
    text = jax.jit(jax.value_and_grad(loss)).lower(rows).compile().as_text()
    assert " sine(" in text
    assert not computed_again(text)


@pytest.mark.parametrize("kind", ["linear", "ntk"])
def test_scaled_rotations_keep_long_sequences_within_trained_angles(kind):
    """At 4 times the trained length the slowest pair turns a fourth; linear, every pair does."""
    plain = np.array([frequency(k) for k in range(WIDTH // 2)])
    x, places = np.random.default_rng(0).normal(size=(1, 8, 1, WIDTH)), np.arange(8)[None]

    @jax.jit
    def rotated(lengths, x, places):
        scaled = scaled_frequencies(kind, lengths, 64, WIDTH)
        return scaled, rotate(x, 4 * places, scaled[2:]), rotate(x, places)

    scaled, far, near = rotated(np.array([10, 64, 256]), x.astype(np.float32), places)
    np.testing.assert_allclose(scaled[:2], [plain, plain], rtol=1e-5)
    np.testing.assert_allclose(scaled[2, -1], plain[-1] / 4, rtol=1e-5)
    np.testing.assert_allclose(scaled[2, 0], plain[0] / (4 if kind == "linear" else 1), rtol=1e-5)
    if kind == "linear":
        np.testing.assert_allclose(far, near, atol=1e-5)


def test_spread_positions_are_in_order_below_their_bound():
    draw = jax.jit(lambda rows, key: draw_positions(8, 100, rows, key))
    drawn = np.concatenate([draw(np.array([8]), jax.random.key(n)) for n in range(200)])
    assert (np.diff(drawn, axis=1) > 0).all()
    assert drawn.min() >= 0
    assert drawn.max() < 100
    assert len(np.unique(drawn)) == 100
    assert spread_positions(jnp.arange(4)[None], 100, jnp.array([4, 2])).tolist() == [
        [0, 25, 50, 75],
        [0, 50, 100, 150],
    ]


def test_positions_are_drawn_for_as_many_as_a_row_has():
    """Of 64 places with 8 real ones, whether padding comes last or first: they reach as far."""
    valid = np.arange(64)[None] < np.array([[8], [64], [8]])
    valid[2] = valid[2, ::-1]
    rows = jnp.array([8, 64, 8])
    draw = jax.jit(lambda key: draw_positions(64, 4096, rows, key, valid))
    drawn = np.stack([draw(jax.random.key(n)) for n in range(50)])
    for row, real in enumerate(valid):
        assert (np.diff(drawn[:, row, real], axis=1) > 0).all()
        # The largest of n drawn below 4,096 is about 4,096 n / (n + 1).
        expected = 4096 * real.sum() / (real.sum() + 1)
        assert drawn[:, row, real].max(axis=1).mean() == pytest.approx(expected, rel=0.05)
