"""Additive attention: blocks against all pairs at once, and against its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.ops import additive_attention as module
from seqmodels.ops.additive_attention import additive_attention, additive_attention_reference


def arrays(queries: int, keys: int, seed: int = 0):
    """Query, key, value and v of two heads of width 4, and the output's gradient."""
    random = np.random.default_rng(seed)
    shapes = [(2, queries, 2, 4), (2, keys, 2, 4), (2, keys, 2, 4), (2, 4), (2, queries, 2, 4)]
    return [jnp.asarray(random.normal(size=s).astype(np.float32)) for s in shapes]


def run(function, arguments, **settings):
    """The output and all gradients."""
    *inputs, d_out = arguments

    @jax.jit
    def both(*inputs):
        out, backward = jax.vjp(lambda *a: function(*a, **settings), *inputs)
        return out, *backward(d_out)

    return both(*inputs)


@pytest.mark.parametrize(
    ("queries", "keys", "settings"),
    [
        (1, 1, {"causal": True}),
        (7, 7, {"causal": True}),
        (63, 63, {"causal": False}),
        (63, 63, {"causal": True, "window": 5}),
        (63, 63, {"causal": False, "window": 5}),
        (9, 40, {"causal": True, "offset": 31}),
        (9, 40, {"causal": False}),
    ],
)
def test_blocks_equal_all_pairs_at_once(queries, keys, settings, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_FEATURES", 2 * 2 * keys * 4 * 4)  # blocks of 4 queries
    arguments = arrays(queries, keys)
    mask = jnp.asarray(np.random.default_rng(1).random((2, keys)) < 0.7).at[1].set(False)
    for real in (None, mask):
        results = run(additive_attention, arguments, mask=real, **settings)
        expected = run(additive_attention_reference, arguments, mask=real, **settings)
        for actual, wanted in zip(results, expected, strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5)
    assert not np.any(results[0][1])  # its keys are all masked


def test_scores_are_what_they_say():
    query, key, value, vector, _ = map(np.asarray, arrays(5, 6))
    scores = np.einsum("bmlhk,hk->bhml", np.tanh(query[:, :, None] + key[:, None]), vector)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    expected = np.einsum("bhml,blhk->bmhk", weights, value)
    actual = additive_attention(*map(jnp.asarray, (query, key, value, vector)), causal=False)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_memory_is_linear_in_the_length():
    def temporaries(length: int) -> int:
        x = jax.ShapeDtypeStruct((1, length, 2, 16), jnp.float32)
        vector = jax.ShapeDtypeStruct((2, 16), jnp.float32)

        def loss(*arguments):
            return additive_attention(*arguments, causal=True).sum()

        compiled = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3))).lower(x, x, x, vector).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(16384) < 2.2 * temporaries(8192)
