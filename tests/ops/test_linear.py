"""The flattened product against the product as written."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.ops.linear import linear


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_the_product_as_written(with_bias):
    shapes = [(), (7,), (3, 5), (2, 3, 5), (0, 4)]
    weights, bias = normal(6, 4), normal(4) if with_bias else None
    pairs = [(normal(*leading, 6), normal(*leading, 4)) for leading in shapes]

    @jax.jit
    def every(pairs, weights, bias):
        results = []
        for x, d_y in pairs:
            y, backward = jax.vjp(linear, x, weights, bias)
            results.append((y, *backward(d_y)))
        return results

    for (x, d_y), (y, *gradients) in zip(pairs, every(pairs, weights, bias), strict=True):
        rows, d_rows = x.reshape(-1, 6), d_y.reshape(-1, 4)
        as_written = x @ weights + (bias if with_bias else 0)
        np.testing.assert_allclose(y, as_written, rtol=1e-5, atol=1e-5)
        expected = (d_y @ weights.T, rows.T @ d_rows, d_rows.sum(axis=0) if with_bias else None)
        for gradient, wanted in zip(gradients, expected, strict=True):
            assert (gradient is None) == (wanted is None)
            if wanted is not None:
                assert gradient.shape == wanted.shape
                np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-5)


def test_follows_the_dtype_of_its_input():
    x, weights, bias = (normal(*shape) for shape in [(2, 5, 6), (6, 4), (4,)])
    both = jax.jit(lambda x, *given: (linear(x.astype(jnp.bfloat16), *given), linear(x, *given)))
    half, full = both(x, weights, bias)
    assert (half.dtype, full.dtype) == (jnp.bfloat16, jnp.float32)
    np.testing.assert_allclose(np.asarray(half, np.float32), full, rtol=0.05, atol=0.1)
