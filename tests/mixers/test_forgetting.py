"""Forgetting gates against the sums that they stand for, in NumPy's float64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.mixers import Attention
from seqmodels.mixers.forgetting import PARTS, with_bias
from tests.mixers.variants import WIDTH, normal

HEADS = 2
K = WIDTH // HEADS


def numpy_forgetting(mixer, x: np.ndarray, window: int | None) -> np.ndarray:
    """``softmax_j(q_i . k_j / sqrt(K) + sum_{j < l <= i} log f_l)`` over what i sees."""

    def part(name: str) -> np.ndarray:
        linear = getattr(mixer, name)
        weights = np.asarray(linear.weights[...], np.float64)
        return np.tensordot(x, weights, 1) + np.asarray(linear.bias[...])

    query, keys, values = (part(name) for name in ("queries", "keys", "values"))
    gates = np.asarray(mixer.forgetting.gates.weights[...], np.float64)
    log_f = -np.log1p(np.exp(-(x @ gates + np.asarray(mixer.forgetting.gates.bias[...]))))
    sums = np.cumsum(log_f, axis=1).transpose(0, 2, 1)  # [B, H, L]
    scores = np.einsum("bihk,bjhk->bhij", query, keys) / math.sqrt(K)
    scores += sums[:, :, :, None] - sums[:, :, None, :]
    ahead = np.arange(x.shape[1])[None] - np.arange(x.shape[1])[:, None]
    seen = (ahead <= 0) & ((ahead > -window) if window else True)
    scores = np.where(seen, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    mixed = np.einsum("bhij,bjhk->bihk", weights, values)
    weights = np.asarray(mixer.outputs.weights[...], np.float64)
    return np.tensordot(mixed, weights, 2) + np.asarray(mixer.outputs.bias[...])


@pytest.mark.parametrize("window", [None, 9])
def test_scores_fall_by_the_gates_between(window):
    """At 130 positions, by blocks: the norm of the difference is below 1e-5 of the outputs'."""
    settings = {"window": window, "forgetting": True, "positions": "none"}
    mixer = Attention(WIDTH, HEADS, **settings, rngs=nnx.Rngs(0))
    mixer.forgetting.gates.bias[...] = jnp.array([0.0, 3.0])
    x = normal((1, 130, WIDTH))
    graph, params = nnx.split(mixer)
    found = jax.jit(lambda params, x: nnx.merge(graph, params)(x))(params, x)
    expected = numpy_forgetting(mixer, x.astype(np.float64), window)
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_bias_is_exact_in_any_dtype_and_has_its_gradient(dtype):
    """A float32 of 24 bits is three numbers of 8."""
    query, keys = jnp.zeros((1, 1, HEADS, K), dtype), jnp.zeros((1, 5, 1, K), dtype)
    bias = 1000 * normal((1, 5, HEADS))

    @jax.jit
    def products(bias):
        q, k = with_bias(query, keys, bias, 0.5)
        assert q.dtype == k.dtype == dtype
        assert k.shape == (1, 5, HEADS, K + PARTS)
        made = 0.5 * jnp.einsum("bmhk,blhk->blh", q, k, preferred_element_type=jnp.float32)
        return jnp.sum(made * jnp.arange(5.0).reshape(1, 5, 1)), made

    gradient, made = jax.grad(products, has_aux=True)(bias)
    np.testing.assert_array_equal(made, bias)
    np.testing.assert_array_equal(gradient[..., 0], [np.arange(5.0)])
