"""Generated tokens are those of recomputing every prefix from scratch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.experiments.generation import generate
from seqmodels.model import build_model
from seqmodels.presets import preset
from seqmodels.tasks.base import Batch
from seqmodels.tasks.text import Text


def recompute(model, params, prompt, count):
    """The best next token of the whole sequence so far, again and again."""
    apply = jax.jit(model.apply)
    tokens = prompt
    total = prompt.shape[1] + count
    while tokens.shape[1] < total:
        padded = jnp.pad(tokens, ((0, 0), (0, total - tokens.shape[1])))
        scores = apply(params, Batch(padded, padded, jnp.ones(padded.shape)), None)
        best = jnp.argmax(scores[:, tokens.shape[1] - 1], axis=-1).astype(jnp.int32)
        tokens = jnp.concatenate([tokens, best[:, None]], axis=1)
    return tokens[:, prompt.shape[1] :]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gru", "conv", "local", "global"])
def test_greedy_generation_equals_recomputation(name):
    section = preset(name, parameters=4000, depth=2, causal=True, pooling=None)
    model = build_model(section, Text.spec)
    # Larger weights than a fresh model's, so that tokens differ and ties are unlikely.
    params = jax.tree.map(lambda p: 2 * p, model.init(jax.random.key(0)))
    prompt = jax.random.randint(jax.random.key(1), (2, 5), 0, 256)
    key = jax.random.key(2)
    generated = generate(model, params, prompt, 30, 0.0, key)
    expected = recompute(model, params, prompt, 30)
    assert len(np.unique(expected)) > 5
    np.testing.assert_array_equal(generated, expected)


def test_sampling_follows_the_key_and_the_temperature():
    section = preset("gru", parameters=1000, depth=1, causal=True, pooling=None)
    model = build_model(section, Text.spec)
    params = model.init(jax.random.key(0))
    prompt = jnp.zeros((1, 1), jnp.int32)
    draw = lambda seed, t: generate(model, params, prompt, 20, t, jax.random.key(seed))  # noqa: E731
    np.testing.assert_array_equal(draw(0, 1.0), draw(0, 1.0))
    assert (draw(0, 1.0) != draw(1, 1.0)).any()
    assert (draw(0, 0.0) == draw(1, 0.0)).all()
