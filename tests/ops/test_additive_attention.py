"""Every form of additive attention against all pairs in NumPy, and against its formula."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.ops.attention import additive as module
from seqmodels.ops.attention.additive import ADDITIVE, additive_attention
from seqmodels.ops.forms import chosen_forms


def arrays(queries: int, keys: int, seed: int = 0) -> list[np.ndarray]:
    """Query, key, value and v of two heads of width 4, and the output's gradient."""
    random = np.random.default_rng(seed)
    shapes = [(2, queries, 2, 4), (2, keys, 2, 4), (2, keys, 2, 4), (2, 4), (2, queries, 2, 4)]
    return [random.normal(size=shape).astype(np.float32) for shape in shapes]


def plain(arguments, mask, causal, window=None, offset=0) -> tuple[np.ndarray, ...]:
    """The output and all gradients, from all pairs at once, in float64."""
    query, key, value, vector, d_out = (array.astype(np.float64) for array in arguments)
    ahead = np.arange(key.shape[1])[None] - (offset + np.arange(query.shape[1])[:, None])
    seen = ahead <= 0 if causal else np.ones(ahead.shape, bool)
    if window is not None:
        seen &= (ahead > -window) if causal else (np.abs(ahead) <= window)
    seen = seen[None, None] & (True if mask is None else mask[:, None, None])
    hidden = np.tanh(query[:, :, None] + key[:, None])  # [B, M, L, H, K]
    scores = np.where(seen, np.einsum("bmlhk,hk->bhml", hidden, vector), 0)
    weights = np.where(seen, np.exp(scores), 0)
    total = weights.sum(axis=-1, keepdims=True)
    weights = weights / np.where(total == 0, 1, total)
    d_weights = np.einsum("bmhk,blhk->bhml", d_out, value)
    d_scores = weights * (d_weights - (weights * d_weights).sum(axis=-1, keepdims=True))
    d_sum = np.einsum("bhml,hk->bmlhk", d_scores, vector) * (1 - hidden**2)
    return (
        np.einsum("bhml,blhk->bmhk", weights, value),
        d_sum.sum(axis=2),
        d_sum.sum(axis=1),
        np.einsum("bhml,bmhk->blhk", weights, d_out),
        np.einsum("bhml,bmlhk->hk", d_scores, hidden),
    )


def random_mask(keys: int) -> np.ndarray:
    """About a third of the keys masked, and in the second row all of them."""
    mask = np.random.default_rng(1).random((2, keys)) < 0.7
    mask[1] = False
    return mask


def assert_equals_the_plain(form, arguments, masks, **settings):
    """Compares outputs and all gradients under each mask, by one program."""

    @jax.jit
    def run(masks, *arguments):
        *inputs, d_out = arguments
        results = []
        for mask in masks:
            out, backward = jax.vjp(partial(form, mask=mask, **settings), *inputs)
            results.append((out, *backward(d_out)))
        return results

    for results, mask in zip(run(masks, *arguments), masks, strict=True):
        for actual, wanted in zip(results, plain(arguments, mask, **settings), strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5)
        if mask is not None:
            assert not np.any(results[0][1])  # its keys are all masked


@pytest.mark.slow
@pytest.mark.parametrize(
    ("queries", "keys", "masked", "settings"),
    [
        (1, 1, "both", {"causal": True}),
        (7, 7, "not", {"causal": True}),
        (63, 63, "with", {"causal": False}),
        (63, 63, "with", {"causal": True, "window": 5}),
        (63, 63, "not", {"causal": False, "window": 5}),
        (9, 40, "with", {"causal": True, "offset": 31}),
        (9, 40, "both", {"causal": False}),
    ],
)
@pytest.mark.parametrize("form", ADDITIVE.forms)
def test_each_form_equals_the_reference(form, queries, keys, masked, settings, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_FEATURES", 2 * 2 * keys * 4 * 4)  # blocks of 4 queries
    masks = {"not": [None], "with": [random_mask(keys)], "both": [None, random_mask(keys)]}[masked]
    run = partial(additive_attention, form=form)
    assert_equals_the_plain(run, arrays(queries, keys), masks, **settings)


def test_the_size_chooses_the_form():
    def chosen(length: int) -> dict[str, list[str]]:
        x = jax.ShapeDtypeStruct((1, length, 2, 16), jnp.float32)
        vector = jax.ShapeDtypeStruct((2, 16), jnp.float32)
        with chosen_forms() as forms:
            jax.eval_shape(partial(additive_attention, causal=True), x, x, x, vector)
        return forms

    assert chosen(256) == {"additive attention": ["whole"]}
    assert chosen(512) == {"additive attention": ["blocks"]}


def test_scores_are_what_they_say():
    query, key, value, vector, _ = arrays(5, 6)
    scores = np.einsum("bmlhk,hk->bhml", np.tanh(query[:, :, None] + key[:, None]), vector)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    expected = np.einsum("bhml,blhk->bmhk", weights, value)
    actual = jax.jit(partial(additive_attention, causal=False))(query, key, value, vector)
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
