"""Recorded weights are those with which the layers mix."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from flax import nnx

from seqmodels.evaluation.runs import LoadedRun
from seqmodels.mixers import Attention, CrossAttention
from seqmodels.model import build_model
from seqmodels.observing import observed
from seqmodels.pictures.attention_maps import attention_maps
from seqmodels.presets import preset
from seqmodels.tasks.base import Batch, TaskSpec
from tests.run_folders import drawn, loaded

SPEC = TaskSpec("many-to-many", "features", 3, 2, False, "accuracy", True)
SETTINGS = [
    {"causal": True},
    {"causal": False, "positions": "alibi", "kv_heads": 2},
    {"causal": True, "window": 5, "positions": "relative"},
    {"causal": False, "score": "additive", "positions": "none", "kv_heads": 1},
    {"causal": False, "score": "dot", "form": "whole"},
]


def noise(*shape, seed=0):
    return jax.device_put(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def up_to(length, *lengths):
    """The mask of rows of these lengths."""
    return np.arange(length)[None] < np.array(lengths)[:, None]


def with_drawn_weights(make):
    """A layer whose numbers are drawn."""
    definition, state = nnx.split(nnx.eval_shape(make))
    return nnx.merge(definition, drawn(state))


def project(linear, x):
    weights, bias = np.asarray(linear.weights[...]), np.asarray(linear.bias[...])
    return np.tensordot(np.asarray(x), weights, weights.ndim - bias.ndim) + bias


def mix_by_map(weights, values, outputs):
    """What a layer makes of its values [B, L, H, K] by recorded weights."""
    mixed = np.einsum("bhml,blhk->bmhk", weights, values)
    return project(outputs, mixed)


def recorded(call, *arguments):
    """What a layer makes of its arguments, with the one map that it shows, in one program."""
    out, seen = jax.jit(observed(call))(*arguments)
    assert list(seen) == ["weights"]
    return out, np.asarray(seen["weights"])


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_self_attention_mixes_by_its_map(settings):
    mixer = with_drawn_weights(lambda: Attention(16, heads=4, **settings, rngs=nnx.Rngs(0)))
    x = noise(2, 9, 16)

    def call(x, mask):
        return mixer(x, mixer.context(x, mask))

    out, weights = recorded(call, x, up_to(9, 9, 6))
    assert weights.shape == (2, 4, 9, 9)
    values = np.repeat(project(mixer.values, x), mixer.heads // mixer.kv_heads, axis=2)
    expected = mix_by_map(weights, values, mixer.outputs)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)
    assert not weights[1, :, :, 6:].any()


@pytest.mark.parametrize("score", ["scaled_dot", "dot", "additive"])
def test_cross_attention_mixes_by_its_map(score):
    mixer = with_drawn_weights(lambda: CrossAttention(16, heads=2, score=score, rngs=nnx.Rngs(0)))

    def call(x, source, mask):
        return mixer(x, mixer.project(source, mask))

    source = noise(2, 7, 16)
    out, weights = recorded(call, noise(2, 4, 16, seed=1), source, up_to(7, 7, 3))
    assert weights.shape == (2, 2, 4, 7)
    expected = mix_by_map(weights, project(mixer.values, source), mixer.outputs)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


def test_no_weights_are_made_unasked():
    mixer = with_drawn_weights(lambda: Attention(16, rngs=nnx.Rngs(0)))
    program = jax.make_jaxpr(lambda x: mixer(x))(noise(1, 200, 16))
    assert "200,200" not in str(program)


def test_the_map_of_the_way_back_lies_as_the_sequence_does():
    """Bidirectional attention looks back in one map and ahead in the other."""
    section = preset("global", parameters=1, depth=1, causal=False, pooling=None, width=8)
    settings = {"kind": "attention", "causal": True, "window": 2, "heads": 2}
    section["mixers"] = {"global": {"kind": "bidirectional", "mixer": settings}}
    model = build_model(section, SPEC)
    batch = Batch(noise(1, 5, 3), np.zeros((1, 5), np.int32), np.ones((1, 5), np.float32))
    task = SimpleNamespace(spec=SPEC, batch=lambda *_: batch)
    of = SimpleNamespace(task=task, model=model, train=SimpleNamespace(length=5))
    params = drawn(jax.eval_shape(model.init, jax.random.key(0)))
    maps = attention_maps(LoadedRun(None, of, 0, params, None))
    back, ahead = (layer.weights[0] for layer in maps)
    place = np.arange(5)[:, None] - np.arange(5)[None]
    np.testing.assert_array_equal(back > 0, (place == 0) | (place == 1))
    np.testing.assert_array_equal(ahead > 0, (place == 0) | (place == -1))


@pytest.mark.slow
def test_the_map_of_a_source_of_one_token_is_the_encoder_s(run, monkeypatch):
    """Which token looks follows from the layer, and not from where its weights lie."""
    written = np.array([[3, 1]], np.int32)
    monkeypatch.setattr("seqmodels.pictures.attention_maps.write_for", lambda *_: written)
    one = loaded(run("reverse", "transformer"))
    train = replace(one.experiment.train, length=1)
    maps = attention_maps(one._replace(experiment=one.experiment._replace(train=train)))
    (source,) = maps[0].rows
    target = maps[3].rows
    assert [(m.rows, m.columns) for m in maps] == [
        *[([source], [source])] * 2,
        *[(target, ["begin", target[0]]), (target, [source])] * 2,
    ]


@pytest.mark.slow
def test_maps_of_runs(run):
    (cross,) = attention_maps(loaded(run("reverse", "gru")))
    assert cross.weights.shape == (1, 6, 5)
    assert (len(cross.rows), len(cross.columns)) == (6, 5)
    np.testing.assert_allclose(cross.weights.sum(axis=-1), 1.0, rtol=1e-5)
    maps = attention_maps(loaded(run("reverse", "transformer")))
    kinds = [(m.title.split(", ")[1], m.weights.shape) for m in maps]
    own, to_source = "to itself", "to the source"
    assert kinds == [
        *[(own, (4, 5, 5))] * 2,
        *[(own, (4, 6, 6)), (to_source, (4, 6, 5))] * 2,
    ]
    assert maps[2].columns == ["begin", *maps[2].rows[:-1]]
    assert maps[0].rows == maps[0].columns == cross.columns
    assert attention_maps(loaded(run("digits_grid", "conv"))) == []
