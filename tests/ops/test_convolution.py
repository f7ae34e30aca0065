"""The convolution against its reference and against the sum that it stands for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.ops.convolution import convolution, convolution_reference


def arrays(length: int, kernel: int) -> list[np.ndarray]:
    """An input of two rows with 3 features, and weights to 5."""
    random = np.random.default_rng(length)
    shapes = [(2, length, 3), (kernel, 3, 5)]
    return [random.normal(size=shape).astype(np.float32) for shape in shapes]


CASES = [(1, 1, 1), (7, 3, 1), (63, 4, 1), (63, 7, 3), (100, 2, 13), (130, 5, 8), (15, 3, 7)]


@pytest.mark.parametrize(("length", "kernel", "dilation"), CASES)
def test_equals_its_reference(length, kernel, dilation):
    x, weights = arrays(length, kernel)
    shape = (2, length - (kernel - 1) * dilation, 5)
    d_y = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    @functools.partial(jax.jit, static_argnums=0)
    def run(function, x, weights):
        y, backward = jax.vjp(lambda x, w: function(x, w, dilation), x, weights)
        return y, *backward(d_y)

    results, expected = (run(f, x, weights) for f in (convolution, convolution_reference))
    assert results[0].shape == shape
    for actual, wanted in zip(results, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("function", [convolution, convolution_reference])
def test_equals_a_loop(function):
    x, weights = arrays(length=9, kernel=3)
    expected = np.zeros((2, 5, 5))
    for t in range(5):
        for i in range(3):
            expected[:, t] += x[:, t + 2 * i] @ weights[i]
    actual = function(jnp.asarray(x), jnp.asarray(weights), dilation=2)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_follows_the_dtype_of_its_input():
    x, weights = arrays(length=9, kernel=3)
    y = convolution(jnp.asarray(x, jnp.bfloat16), jnp.asarray(weights))
    assert y.dtype == jnp.bfloat16
    expected = convolution(jnp.asarray(x), jnp.asarray(weights))
    np.testing.assert_allclose(y.astype(jnp.float32), expected, rtol=0.05, atol=0.1)
