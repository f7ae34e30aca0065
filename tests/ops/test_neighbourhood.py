"""Neighbourhood attention against the scores of all pairs of positions, in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.mixers.extent import Extent
from seqmodels.ops.attention.neighbourhood import Neighbourhood, neighbourhood_attention

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


def plain(inputs, d_out, mask, around) -> tuple[np.ndarray, ...]:
    """The output and all gradients, by the scores of all pairs of positions, in float64."""
    axes, made = inputs[1].shape[1:-2], inputs[0].shape[1:-2]
    *flat, r = (np.asarray(x).astype(np.float64) for x in inputs)
    q, k, v = (x.reshape(len(x), -1, *x.shape[-2:]) for x in flat)
    g = np.asarray(d_out).astype(np.float64).reshape(q.shape)
    keys = np.array(list(np.ndindex(*axes)))  # [L, axes]
    outputs = around.stride * np.array(list(np.ndindex(*made)))  # [M, axes]
    offsets = around.dilation * np.array(list(np.ndindex(*around.kernel)))
    offsets = offsets - [before for before, _ in around.edges]
    here = (keys[None] - outputs[:, None])[:, :, None] == offsets  # [M, L, offsets, axes]
    here = here.all(axis=-1).astype(float)
    seen = here.any(axis=-1)[None]
    if mask is not None:
        seen = seen & mask.reshape(len(mask), 1, -1)
    seen = seen[..., None]  # [B or 1, M, L, 1]
    scale = q.shape[-1] ** -0.5
    scores = np.einsum("bmhk,blhk->bmlh", q, k)
    scores = scale * (scores + np.einsum("bmhk,mlo,ohk->bmlh", q, here, r, optimize=True))
    weights = np.where(seen, np.exp(np.where(seen, scores, 0)), 0)
    total = weights.sum(axis=2, keepdims=True)
    weights = weights / np.where(total == 0, 1, total)
    d_weights = np.einsum("bmhk,blhk->bmlh", g, v)
    mean = (weights * d_weights).sum(axis=2, keepdims=True)
    d_scores = scale * weights * (d_weights - mean)
    by_offset = np.einsum("bmlh,mlo->bmoh", d_scores, here)
    d_q = np.einsum("bmlh,blhk->bmhk", d_scores, k) + np.einsum("bmoh,ohk->bmhk", by_offset, r)
    d_k = np.einsum("bmlh,bmhk->blhk", d_scores, q)
    d_v = np.einsum("bmlh,bmhk->blhk", weights, g)
    d_r = np.einsum("bmoh,bmhk->ohk", by_offset, q)
    out = np.einsum("bmlh,blhk->bmhk", weights, v)
    shapes = [inputs[0].shape, *(x.shape for x in inputs)]
    results = (out, d_q, d_k, d_v, d_r)
    return tuple(x.reshape(shape) for x, shape in zip(results, shapes, strict=True))


def run(form, inputs, masks, around) -> list[tuple[jax.Array, ...]]:
    """The outputs and the gradients of a weighted sum of them under each mask, by one program."""

    @jax.jit
    def under_each(masks, d_out, *inputs):
        results = []
        for mask in masks:
            function = functools.partial(form, mask=mask, around=around)
            out, backward = jax.vjp(function, *inputs)
            results.append((out, *backward(d_out)))
        return results

    return under_each(masks, d_output(inputs), *inputs)


def d_output(inputs) -> np.ndarray:
    random = np.random.default_rng(1).normal(size=inputs[0].shape)
    return random.astype(np.float32).astype(inputs[0].dtype)


def assert_same(inputs, masks, around, form=neighbourhood_attention):
    every = run(form, inputs, masks, around)
    for results, mask in zip(every, masks, strict=True):
        expected = plain(inputs, d_output(inputs), mask, around)
        for actual, wanted in zip(results, expected, strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5)
    return every


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_equals_its_reference(name):
    inputs, around = arrays(name)
    mask = np.random.default_rng(2).random(inputs[1].shape[:-2]) < 0.6
    assert_same(inputs, [None, mask], around)


def test_a_query_that_sees_nothing_gets_nothing():
    inputs, around = arrays("plane")
    mask = np.ones((2, 5, 7), bool)
    mask[1] = False
    ((out, *gradients),) = assert_same(inputs, [mask], around)
    assert not np.any(out[1])
    assert not any(np.any(gradient[1]) for gradient in gradients[:3])


def test_keys_may_begin_before_the_first_query():
    inputs, around = arrays("causal")

    @jax.jit
    def whole_and_later(q, k, v, r):
        whole = neighbourhood_attention(q, k, v, r, None, around)
        begun = around._replace(edges=((0, 0),))
        return whole, neighbourhood_attention(q[:, 6:], k, v, r, None, begun)

    whole, later = whole_and_later(*inputs)
    np.testing.assert_allclose(later, whole[:, 6:], rtol=1e-5, atol=1e-6)


def test_bfloat16_is_summed_in_float32():
    inputs, around = arrays("plane")
    half = [x.astype(jnp.bfloat16) for x in inputs]
    ((*results,),) = run(neighbourhood_attention, half, [None], around)
    expected = plain(half, d_output(half), None, around)
    for actual, wanted in zip(results, expected, strict=True):
        assert actual.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(actual, np.float32), wanted, rtol=0.02, atol=0.03)


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
