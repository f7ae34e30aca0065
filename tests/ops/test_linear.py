"""The flattened product against the product as written."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.ops.linear import embed, linear


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("leading", [(), (7,), (3, 5), (2, 3, 5), (0, 4)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_the_product_as_written(leading, with_bias):
    x, weights, d_y = normal(*leading, 6), normal(6, 4), normal(*leading, 4)
    bias = normal(4) if with_bias else None

    def as_written(x, weights, bias):
        y = jnp.einsum("...d,df->...f", x, weights, precision="highest")
        return y + bias.reshape((1,) * len(leading) + (4,)) if with_bias else y

    y, backward = jax.vjp(linear, x, weights, bias)
    expected, expected_backward = jax.vjp(as_written, x, weights, bias)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    for gradient, wanted in zip(backward(d_y), expected_backward(d_y), strict=True):
        if wanted is not None:
            np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-5)


def test_follows_the_dtype_of_its_input():
    x, weights, bias = (jnp.asarray(normal(*shape)) for shape in [(2, 5, 6), (6, 4), (4,)])
    half, full = linear(x.astype(jnp.bfloat16), weights, bias), linear(x, weights, bias)
    assert (half.dtype, full.dtype) == (jnp.bfloat16, jnp.float32)
    np.testing.assert_allclose(half.astype(jnp.float32), full, rtol=0.05, atol=0.1)


def test_embed_takes_the_row_of_each_token():
    table, tokens = normal(5, 3), np.array([[4, 0, 4], [1, 2, 3]])
    np.testing.assert_array_equal(embed(jnp.asarray(table), jnp.asarray(tokens)), table[tokens])
