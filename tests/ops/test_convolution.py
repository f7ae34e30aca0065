"""The convolution against its reference and against the sum that it stands for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.ops.convolution import (
    convolution,
    convolution_reference,
    depthwise_convolution,
    depthwise_convolution_reference,
)
from seqmodels.ops.fft_convolution import fft_convolution, fft_convolution_reference


def arrays(length: int, kernel: int) -> list[np.ndarray]:
    """An input of two rows with 3 features, and weights to 5."""
    random = np.random.default_rng(length)
    shapes = [(2, length, 3), (kernel, 3, 5)]
    return [random.normal(size=shape).astype(np.float32) for shape in shapes]


def assert_same_values_and_gradients(forms, x, weights) -> jax.Array:
    """Compares two forms' outputs and both gradients; returns the output."""
    shape = jax.eval_shape(forms[0], x, weights).shape
    d_y = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    @functools.partial(jax.jit, static_argnums=0)
    def run(function, x, weights):
        y, backward = jax.vjp(function, x, weights)
        return y, *backward(d_y)

    results, expected = (run(form, x, weights) for form in forms)
    for actual, wanted in zip(results, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-4)
    return results[0]


CASES = [(1, 1, 1), (7, 3, 1), (63, 4, 1), (63, 7, 3), (100, 2, 13), (130, 5, 8), (15, 3, 7)]


@pytest.mark.parametrize(("length", "kernel", "dilation"), CASES)
def test_equals_its_reference(length, kernel, dilation):
    forms = [functools.partial(f, dilation=dilation) for f in (convolution, convolution_reference)]
    y = assert_same_values_and_gradients(forms, *arrays(length, kernel))
    assert y.shape == (2, length - (kernel - 1) * dilation, 5)


@pytest.mark.parametrize(("length", "kernel", "dilation"), CASES)
def test_depthwise_equals_its_reference(length, kernel, dilation):
    x, weights = arrays(length, kernel)
    functions = (depthwise_convolution, depthwise_convolution_reference)
    forms = [functools.partial(f, dilation=dilation) for f in functions]
    assert_same_values_and_gradients(forms, x, weights[:, :, 0])


GRIDS = {
    "plane": ((9, 6), (3, 2), 2, 1, 1),
    "strided": ((9, 12), (3, 4), 1, 2, 2),
    "dilated-and-strided": ((9, 7), (2, 3), 3, 3, 1),
    "volume": ((5, 4, 6), (2, 1, 3), 1, 1, 3),
    "dilated-volume": ((7, 5, 4), (3, 2, 1), 2, 1, 2),
    "strided-volume": ((5, 4, 7), (3, 2, 3), 1, 2, 1),
    "strided-sequence": ((23,), (4,), 2, 3, 2),
}


def grid_arrays(axes, kernel, groups) -> list[np.ndarray]:
    """An input of two rows with 6 features, and weights in groups to 12."""
    random = np.random.default_rng(len(axes))
    shapes = [(2, *axes, 6), (*kernel, 6 // groups, 12)]
    return [random.normal(size=shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("name", GRIDS)
def test_on_grids_equals_its_reference(name):
    axes, kernel, dilation, stride, groups = GRIDS[name]
    settings = {"dilation": dilation, "stride": stride, "groups": groups}
    forms = [functools.partial(f, **settings) for f in (convolution, convolution_reference)]
    y = assert_same_values_and_gradients(forms, *grid_arrays(axes, kernel, groups))
    starts = [range(0, n - (k - 1) * dilation, stride) for n, k in zip(axes, kernel, strict=True)]
    assert y.shape == (2, *map(len, starts), 12)


@pytest.mark.parametrize("name", GRIDS)
def test_depthwise_on_grids_equals_its_reference(name):
    axes, kernel, dilation, stride, _ = GRIDS[name]
    x, weights = grid_arrays(axes, kernel, 6)
    functions = (depthwise_convolution, depthwise_convolution_reference)
    forms = [functools.partial(f, dilation=dilation, stride=stride) for f in functions]
    assert_same_values_and_gradients(forms, x, weights[..., 0, :6])


@pytest.mark.parametrize(
    ("length", "kernel"), [(1, 1), (7, 3), (63, 63), (100, 130), (130, 1), (17, 31)]
)
def test_fft_equals_the_sum_that_it_stands_for(length, kernel):
    x, weights = arrays(length, kernel)
    forms = (fft_convolution, fft_convolution_reference)
    y = assert_same_values_and_gradients(forms, x, weights[:, :, 0])
    assert y.shape == x.shape


@pytest.mark.parametrize("function", [convolution, convolution_reference])
def test_equals_a_loop(function):
    x, weights = arrays(length=9, kernel=3)
    expected = np.zeros((2, 5, 5))
    for t in range(5):
        for i in range(3):
            expected[:, t] += x[:, t + 2 * i] @ weights[i]
    actual = function(jnp.asarray(x), jnp.asarray(weights), dilation=2)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("function", [convolution, depthwise_convolution, fft_convolution])
def test_follows_the_dtype_of_its_input(function):
    x, weights = map(jnp.asarray, arrays(length=9, kernel=3))
    weights = weights if function is convolution else weights[:, :, 0]
    y = function(x.astype(jnp.bfloat16), weights)
    assert y.dtype == jnp.bfloat16
    expected = function(x, weights)
    np.testing.assert_allclose(y.astype(jnp.float32), expected, rtol=0.05, atol=0.1)
