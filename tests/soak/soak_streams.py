"""Streams of 10,000 positions, a tenth at a time: every kind of mixer that goes on from a state."""

import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.mixers import Room
from tests.mixers.test_matrix_equations import KINDS, Plain
from tests.mixers.variants import CASES, CAUSAL, FIRST, WIDTH, noisy_weights, normal, pure

LENGTH, PIECE = 10_000, 1_000
STREAMS = [name for name in (*FIRST, "attention-forgetting", "attention-sinks") if name in CAUSAL]
RECURSIVE = [kind for kind in KINDS if kind != "linear_attention"]  # whose reference is quadratic


def settings_of(name: str) -> tuple[str, dict]:
    """A variant whose filters, if it has any, are as long as the stream."""
    kind, settings = CASES[name]
    return kind, settings | ({"max_length": LENGTH} if "max_length" in settings else {})


def streamed(mixer, params, x: np.ndarray) -> np.ndarray:
    """The outputs [B, L, D] of pieces, each from the state that the last left."""
    state, outputs, whole = Room(LENGTH), [], jnp.full(len(x), LENGTH)
    for start in range(0, LENGTH, PIECE):
        piece = x[:, start : start + PIECE]
        y, state = mixer.extend(params, piece, state, jnp.full(len(x), start), whole)
        outputs.append(np.asarray(y))
    return np.concatenate(outputs, axis=1)


def assert_near(found: np.ndarray, expected: np.ndarray) -> None:
    assert np.linalg.norm(found - expected) <= 1e-4 * np.linalg.norm(expected)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_equals_one_call(name):
    mixer, params = pure(*settings_of(name)), noisy_weights(*settings_of(name))
    x = normal((2, LENGTH, WIDTH))
    assert_near(streamed(mixer, params, x), np.asarray(mixer.call(params, x)))


@pytest.mark.parametrize("kind", RECURSIVE)
def test_a_stream_is_its_equation(kind):
    """In NumPy and float64, one position after another."""
    mixer, params = pure(*CASES[kind]), noisy_weights(*CASES[kind])
    x = normal((1, LENGTH, WIDTH))
    expected = Plain(kind, params).run(x[0].astype(np.float64))
    assert_near(streamed(mixer, params, x)[0], expected)
