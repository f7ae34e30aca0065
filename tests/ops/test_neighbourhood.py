"""Neighbourhood attention against the scores of all pairs of positions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.mixers.extent import Extent
from seqmodels.ops.neighbourhood import (
    Neighbourhood,
    neighbourhood_attention,
    neighbourhood_attention_reference,
)

# Axes, kernel, dilation, causal, stride.
CASES = {
    "sequence": ((13,), 5, 1, False, 1),
    "causal": ((13,), 4, 2, True, 1),
    "longer-than-the-sequence": ((3,), 9, 1, False, 1),
    "strided": ((14,), 5, 1, False, 3),
    "plane": ((5, 7), (3, 5), 1, False, 1),
    "dilated-plane": ((6, 5), (3, 3), 2, False, 1),
    "strided-plane": ((7, 6), (3, 1), 1, False, 2),
    "causal-plane": ((4, 5), (2, 3), 1, True, 1),
    "volume": ((3, 4, 2), (3, 1, 3), 1, False, 1),
    "strided-volume": ((3, 5, 4), (1, 3, 3), 1, False, 2),
}


def arrays(name: str) -> tuple[tuple, Neighbourhood]:
    """Query, key, value and relative vectors of two heads of width 4, and the extent."""
    axes, *settings = CASES[name]
    extent = Extent.of(*settings)
    around = Neighbourhood(extent.kernel, extent.dilation, extent.edges(), extent.stride)
    made = [-(-length // extent.stride) for length in axes]
    shapes = [(2, *made, 2, 4), (2, *axes, 2, 4), (2, *axes, 2, 4), (len(extent.offsets()), 2, 4)]
    random = np.random.default_rng(0)
    return tuple(random.normal(size=s).astype(np.float32) for s in shapes), around


def run(function, inputs, mask, around):
    """The jitted outputs, and the gradients of a weighted sum of them."""
    d_out = np.random.default_rng(1).normal(size=inputs[0].shape).astype(np.float32)

    @jax.jit
    def with_gradients(*inputs):
        out, backward = jax.vjp(functools.partial(function, mask=mask, around=around), *inputs)
        return out, *backward(jnp.asarray(d_out, out.dtype))

    return with_gradients(*inputs)


def assert_same(inputs, mask, around):
    results = run(neighbourhood_attention, inputs, mask, around)
    expected = run(neighbourhood_attention_reference, inputs, mask, around)
    for actual, wanted in zip(results, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5)
    return results


@pytest.mark.parametrize("name", CASES)
def test_equals_its_reference(name):
    inputs, around = arrays(name)
    assert_same(inputs, None, around)
    mask = np.random.default_rng(2).random(inputs[1].shape[:-2]) < 0.6
    assert_same(inputs, mask, around)


def test_a_query_that_sees_nothing_gets_nothing():
    inputs, around = arrays("plane")
    mask = np.ones((2, 5, 7), bool)
    mask[1] = False
    out, *gradients = assert_same(inputs, mask, around)
    assert not np.any(out[1])
    assert not any(np.any(gradient[1]) for gradient in gradients[:3])


def test_keys_may_begin_before_the_first_query():
    inputs, around = arrays("causal")
    whole = neighbourhood_attention(*inputs, None, around)
    q, k, v, r = inputs
    later = neighbourhood_attention(q[:, 6:], k, v, r, None, around._replace(edges=((0, 0),)))
    np.testing.assert_allclose(later, whole[:, 6:], rtol=1e-5, atol=1e-6)


def test_bfloat16_is_summed_in_float32():
    inputs, around = arrays("plane")
    half = [x.astype(jnp.bfloat16) for x in inputs]
    results = run(neighbourhood_attention, half, None, around)
    expected = run(
        neighbourhood_attention_reference, [x.astype(jnp.float32) for x in half], None, around
    )
    for actual, wanted in zip(results, expected, strict=True):
        assert actual.dtype == jnp.bfloat16
        np.testing.assert_allclose(actual.astype(jnp.float32), wanted, rtol=0.02, atol=0.03)


def test_memory_is_linear_in_the_number_of_positions():
    def temporaries(side: int) -> int:
        around = Neighbourhood((3, 3), 1, ((1, 1), (1, 1)), 1)
        x = jax.ShapeDtypeStruct((1, side, side, 2, 8), jnp.float32)
        r = jax.ShapeDtypeStruct((9, 2, 8), jnp.float32)

        def loss(q, k, v, r):
            return neighbourhood_attention(q, k, v, r, None, around).sum()

        compiled = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3))).lower(x, x, x, r).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(128) < 4.2 * temporaries(64)
