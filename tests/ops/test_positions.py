"""Position encodings against loops, and the property that makes rotations useful."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.ops.positions import relative_key, relative_query, rotate, sinusoidal

WIDTH = 8


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
    encoding = sinusoidal(jnp.asarray(positions), WIDTH)
    assert encoding.dtype == jnp.float32
    np.testing.assert_allclose(encoding, expected, atol=3e-4)  # an angle of 4095 to 24 bits
    np.testing.assert_allclose(encoding[:, :2], expected[:, :2], atol=1e-5)


def test_rotate_turns_every_pair_by_its_position():
    x = np.random.default_rng(0).normal(size=(2, 5, 3, WIDTH)).astype(np.float32)
    positions = np.array([[0, 1, 2, 3, 4], [7, 8, 9, 10, 100]])
    expected = np.zeros(x.shape)
    for row, place, head in np.ndindex(2, 5, 3):
        expected[row, place, head] = turned(x[row, place, head], positions[row, place])
    actual = rotate(jnp.asarray(x), jnp.asarray(positions))
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
    far = jnp.array([[1001]])  # bfloat16 would round it to 1000
    half = rotate(jnp.asarray(x, jnp.bfloat16), far)
    assert half.dtype == jnp.bfloat16
    full = rotate(jnp.asarray(x), far)
    np.testing.assert_allclose(half.astype(jnp.float32), full, atol=0.05)


def test_relative_scores_are_those_of_all_pairs():
    """Against s(i - j) written out for every pair (Dai et al. 2019)."""
    random = np.random.default_rng(0)
    query = random.normal(size=(1, 9, 2, 6)).astype(np.float32)
    projection = random.normal(size=(2, 6, 6)).astype(np.float32)
    positions = jnp.arange(9)[None] + 5
    turned = relative_query(jnp.asarray(query), jnp.asarray(projection), positions)
    scores = np.einsum("bmhf,blf->bhml", turned, relative_key(positions, 6))
    offsets = np.arange(9)[:, None] - np.arange(9)[None]
    frequencies = 10_000.0 ** (-np.arange(3) / 3)
    angles = offsets[:, :, None] * frequencies
    sinusoids = np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)  # [9, 9, 6]
    expected = np.einsum("bmhk,hkf,mlf->bhml", query, projection, sinusoids)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
