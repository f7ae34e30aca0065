"""What single settings of mixers mean, where neither the contract nor the goldens can tell."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.errors import ParameterError
from seqmodels.mixers import LSTM, Attention, Context, Convolution, CrossAttention, Mixer, Room
from seqmodels.mixers.temporal_block import TemporalBlock
from seqmodels.ops.forms import chosen_forms
from tests.mixers.variants import WIDTH, normal


def scaled(linear, factor: float) -> None:
    """Multiplies the outputs of a projection."""
    linear.weights[...] = linear.weights[...] * factor
    linear.bias[...] = linear.bias[...] * factor


def test_the_forget_gate_starts_open():
    """Of the gates i, f, g, o it alone has a bias at the start: 1."""
    bias = LSTM(WIDTH, rngs=nnx.Rngs(0)).inputs.bias[...]
    np.testing.assert_array_equal(bias, np.repeat([[0], [1], [0], [0]], WIDTH, axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("crosses", [False, True], ids=["to itself", "to a source"])
def test_a_scaled_product_is_the_plain_one_of_smaller_queries(crosses):
    """q . k / sqrt(K) is (q / sqrt(K)) . k, with 2 heads of width 4."""
    x, source = normal((2, 6, WIDTH)), jnp.asarray(normal((2, 9, WIDTH), seed=1))

    def outputs(score: str, factor: float) -> jax.Array:
        if crosses:
            mixer = CrossAttention(WIDTH, 2, score, rngs=nnx.Rngs(0))
            scaled(mixer.queries, factor)
            return mixer(jnp.asarray(x), mixer.project(source, None))
        mixer = Attention(WIDTH, 2, positions="none", score=score, rngs=nnx.Rngs(0))
        scaled(mixer.queries, factor)
        return mixer(jnp.asarray(x))

    expected = outputs("scaled_dot", 1.0)
    np.testing.assert_allclose(outputs("dot", 0.5), expected, rtol=1e-5, atol=1e-6)
    assert np.abs(outputs("dot", 1.0) - expected).max() > 1e-3


@pytest.mark.parametrize(
    ("activation", "f"),
    [
        ("relu", lambda x: np.maximum(x, 0)),
        ("silu", lambda x: x / (1 + np.exp(-x))),
        ("none", lambda x: x),
    ],
)
def test_a_convolution_has_the_activation_that_is_asked_for(activation, f):
    """gelu's is that of tests/test_model.py."""
    mixer = Convolution(WIDTH, 1, activation=activation, rngs=nnx.Rngs(0))
    x = normal((2, 3, WIDTH))
    expected = f(x @ np.asarray(mixer.weights[0])) @ np.asarray(mixer.outputs.weights[...])
    np.testing.assert_allclose(mixer(jnp.asarray(x)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("part", ["queries", "keys"])
def test_normalised_queries_and_keys_have_no_size(part):
    mixer = Attention(WIDTH, 2, positions="none", qk_norm=True, rngs=nnx.Rngs(0))
    x = jnp.asarray(normal((2, 6, WIDTH)))
    expected = mixer(x)
    scaled(getattr(mixer, part), 10.0)
    np.testing.assert_allclose(mixer(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("operation", "form", "settings"),
    [
        ("attention", "blocked", {}),
        ("attention", "local", {"window": 3}),
        ("additive attention", "blocks", {"score": "additive", "positions": "none"}),
    ],
)
def test_attention_takes_the_form_that_is_named(operation, form, settings):
    """For sequences and prompts; a chunk after them takes one that serves it."""
    mixer = Attention(WIDTH, 2, **settings, form=form, rngs=nnx.Rngs(0))
    x, prompt = jnp.zeros((1, 6, WIDTH)), Context.of(1, 6)
    with chosen_forms() as of_whole:
        jax.eval_shape(lambda x: mixer(x), x)
        _, state = jax.eval_shape(lambda x: mixer.extend(x, Room(8), prompt), x)
    with chosen_forms() as of_chunk:
        jax.eval_shape(lambda x, state: mixer.extend(x, state, prompt), x, state)
    assert of_whole == {operation: [form]}
    assert of_chunk == {operation: ["whole"]}
    with pytest.raises(ParameterError, match=rf"^form='{form}x' is no form of {operation}; did"):
        Attention(WIDTH, 2, **settings, form=f"{form}x", rngs=nnx.Rngs(0))


def test_a_state_takes_a_causal_mixer():
    with pytest.raises(TypeError, match="has_state=True with causal=False"):
        type("Both", (Mixer,), {"has_state": True})
    mixer = Attention(WIDTH, causal=False, rngs=nnx.Rngs(0))
    with pytest.raises(TypeError, match="Attention can't go on from a state"):
        mixer.extend(jnp.zeros((1, 2, WIDTH)), Room(2), Context.of(1, 2))


def test_a_context_of_fewer_positions_or_of_those_from_the_end():
    """Rows of 8 and 6, spread below 24: windows of 2, and the way back with the same distances."""
    valid = np.arange(8)[None] < np.array([[8], [6]])
    context = Context.of(2, 8, valid, position_range=24)
    np.testing.assert_array_equal(context.spread, [np.arange(8) * 3, np.arange(8) * 4])
    fewer = context.coarser(jnp.asarray(valid[:, ::2]), 2)
    np.testing.assert_array_equal(fewer.positions, [[0, 1, 2, 3]])
    np.testing.assert_array_equal(fewer.spread, context.spread[:, ::2])
    np.testing.assert_array_equal(fewer.lengths, [4, 3])
    drawn = Context.of(2, 8, valid, position_range=24, draw=jax.random.key(0))
    for ahead in (context, drawn):
        back = ahead.flipped()
        for row, real in enumerate(valid):
            np.testing.assert_array_equal(back.valid[row], real[::-1])
            apart = np.diff(np.asarray(ahead.spread)[row, real])
            np.testing.assert_array_equal(
                np.diff(np.asarray(back.spread)[row, real[::-1]]), apart[::-1]
            )


def test_a_level_of_a_tcn_begins_as_published():
    """Uniform up to 1 / sqrt(kernel * width), as Bai et al.'s code draws kernels and biases."""
    block = TemporalBlock(32, kernel=8, rngs=nnx.Rngs(0))
    bound = (8 * 32) ** -0.5
    for kernel in (block.first[...], block.second[...]):
        assert float(jnp.abs(kernel).max()) == pytest.approx(bound, rel=0.01)
        assert float(kernel.std()) == pytest.approx(bound / 3**0.5, rel=0.02)
    for bias in (block.first_bias[...], block.second_bias[...]):
        assert 0.5 * bound < float(jnp.abs(bias).max()) <= bound
