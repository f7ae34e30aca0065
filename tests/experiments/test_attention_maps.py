"""Recorded weights are those with which the layers mix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.experiments.attention_maps import attention_maps
from seqmodels.experiments.runs import load_run
from seqmodels.mixers import Attention, CrossAttention
from seqmodels.mixers.recording import recorded_attention

SETTINGS = [
    {"causal": True},
    {"causal": False, "positions": "alibi", "kv_heads": 2},
    {"causal": True, "window": 5, "positions": "relative"},
    {"causal": False, "score": "additive", "positions": "none", "kv_heads": 1},
    {"causal": False, "score": "dot", "plain": True},
]


def noise(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def mix_by_map(weights, values, outputs):
    """What a layer makes of its values [B, L, H, K] by recorded weights."""
    mixed = np.einsum("bhml,blhk->bmhk", weights, values)
    return outputs(jnp.asarray(mixed.reshape(*mixed.shape[:2], -1)))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_self_attention_mixes_by_its_map(settings):
    mixer = Attention(16, heads=4, **settings, rngs=nnx.Rngs(0))
    x, mask = noise(2, 9, 16), jnp.arange(9)[None] < jnp.array([[9], [6]])
    with recorded_attention() as maps:
        out = mixer(x, mask)
    (found,) = maps
    assert (found.kind, found.weights.shape) == ("self", (2, 4, 9, 9))
    projected = np.asarray(mixer.inputs(x)).reshape(2, 9, -1, 4)
    shared = mixer.heads // mixer.kv_heads
    values = np.repeat(projected[:, :, 4 + mixer.kv_heads :], shared, axis=2)
    expected = mix_by_map(found.weights, values, mixer.outputs)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)
    assert not np.asarray(found.weights)[1, :, :, 6:].any()


@pytest.mark.parametrize("score", ["scaled_dot", "dot", "additive"])
def test_cross_attention_mixes_by_its_map(score):
    mixer = CrossAttention(16, heads=2, score=score, rngs=nnx.Rngs(0))
    source = mixer.project(noise(2, 7, 16), jnp.arange(7)[None] < jnp.array([[7], [3]]))
    with recorded_attention() as maps:
        out = mixer(noise(2, 4, 16, seed=1), source)
    (found,) = maps
    assert (found.kind, found.weights.shape) == ("cross", (2, 2, 4, 7))
    expected = mix_by_map(found.weights, np.asarray(source.values), mixer.outputs)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


def test_nothing_is_recorded_unasked():
    mixer = Attention(16, rngs=nnx.Rngs(0))
    with recorded_attention() as maps:
        pass
    mixer(noise(1, 4, 16))
    assert maps == []
    program = jax.make_jaxpr(lambda x: mixer(x))(noise(1, 200, 16))
    assert "200,200" not in str(program)


@pytest.mark.slow
def test_maps_of_runs(run):
    (cross,) = attention_maps(load_run(run("reverse", "gru"), "best", devices=1))
    assert cross.weights.shape == (1, 6, 5)
    assert (len(cross.rows), len(cross.columns)) == (6, 5)
    np.testing.assert_allclose(cross.weights.sum(axis=-1), 1.0, rtol=1e-5)
    maps = attention_maps(load_run(run("reverse", "transformer"), "best", devices=1))
    kinds = [(m.title.split(", ")[1], m.weights.shape) for m in maps]
    own, to_source = "to itself", "to the source"
    assert kinds == [
        *[(own, (4, 5, 5))] * 2,
        *[(own, (4, 6, 6)), (to_source, (4, 6, 5))] * 2,
    ]
    assert maps[2].columns == ["begin", *maps[2].rows[:-1]]
    assert maps[0].rows == maps[0].columns == cross.columns
    assert attention_maps(load_run(run("digits_grid", "conv"), "best", devices=1)) == []
