"""Dropout by itself; the other layers are compared with equations in test_model.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.layers import dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(rate):
    x = jnp.ones((8, 125, 101))  # an odd width: not a whole number of random words
    y = np.asarray(jax.jit(dropout, static_argnums=1)(x, rate, jax.random.key(0)))
    kept = y[y != 0]
    np.testing.assert_allclose(kept, 1 / (1 - rate), rtol=1e-6)
    # Within five standard deviations of a share of that many features.
    tolerance = 5 * np.sqrt(rate * (1 - rate) / y.size)
    assert abs(1 - len(kept) / y.size - rate) < tolerance
    for axis in range(3):  # neither rows, positions nor features share their fate
        first, second = np.take(y, 0, axis), np.take(y, 1, axis)
        agree = np.mean((first != 0) == (second != 0))
        assert abs(agree - (rate**2 + (1 - rate) ** 2)) < 0.15


def test_dropout_without_a_key_or_a_rate_is_the_identity():
    x = jnp.ones((2, 3, 4))
    assert dropout(x, 0.5, None) is x
    assert dropout(x, 0.0, jax.random.key(0)) is x


def test_dropout_keeps_the_dtype():
    x = jnp.ones((2, 3, 4), jnp.bfloat16)
    assert dropout(x, 0.5, jax.random.key(0)).dtype == jnp.bfloat16
