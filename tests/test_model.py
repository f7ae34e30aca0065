"""What is around the mixers: the blocks, the embedding, the summary, and extend."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.errors import ParameterError
from seqmodels.flops import count_flops
from seqmodels.model import build_model
from seqmodels.presets import PRESETS, preset
from seqmodels.tasks.base import Batch, TaskSpec
from tests.drawn_parameters import draw_parameters
from tests.soaking import soak_only

VOCABULARY = 11
MANY_TO_MANY = TaskSpec("many-to-many", "tokens", VOCABULARY, 5, True, "loss", False)
MANY_TO_ONE = MANY_TO_MANY._replace(shape="many-to-one", causal=False)
POINTWISE = {"kind": "convolution", "kernel": 1}  # a mixer that mixes nothing
SET = {"kind": "attention", "heads": 2, "causal": False, "positions": "none"}


def section(mixer=POINTWISE, **changes):
    """The model section of a config."""
    return {"width": 8, "depth": 2, "pattern": ("mixer",), "mixers": {"mixer": mixer}} | changes


def build(config, spec=MANY_TO_MANY):
    """A model, random parameters and the jitted apply."""
    model = build_model(config, spec)
    return model, draw_parameters(model), jax.jit(model.apply)


def tokens(rows: int, length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(VOCABULARY, size=(rows, length), dtype=np.int32)


def batch(inputs: np.ndarray, **fields) -> Batch:
    """A batch whose targets the model does not see."""
    return Batch(inputs, np.zeros(len(inputs), np.int32), np.ones(len(inputs)), **fields)


def numpy_norm(x, params, kind):
    if kind == "none":
        return x
    centred = x - x.mean(-1, keepdims=True) if kind == "layer" else x
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
    return scaled * params["norm"]["scale"] + params["norm"].get("bias", 0)


def numpy_gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def numpy_linear(x, params):
    return x @ params["weights"] + params["bias"]


def numpy_mixer(x, params, mlp):
    del mlp
    hidden = x @ params["weights"][0] + params["bias"]
    return numpy_linear(numpy_gelu(hidden), params["outputs"])


def numpy_mlp(x, params, mlp):
    hidden = numpy_linear(x, params["inputs"])
    if mlp == "gated":
        hidden = numpy_gelu(numpy_linear(x, params["gate"])) * hidden
    else:
        hidden = numpy_gelu(hidden)
    return numpy_linear(hidden, params["outputs"])


def numpy_model(params, inputs, **config):
    """The scores of a model whose mixers are POINTWISE, written down once more."""
    plain = {"norm": "layer", "norm_position": "pre", "mlp": "none", "positions": "none"}
    config = plain | {"residual": True, "blocks": {}} | config
    positions = config["positions"]
    x = params["embedding"]["table"][inputs]
    if positions == "learned":
        x = x + params["embedding"]["learned"][: inputs.shape[1]]
    if positions == "sinusoidal":
        angles = np.arange(inputs.shape[1])[:, None] * 10_000.0 ** (-np.arange(4) / 4)
        x = x + np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    for index, block in params["blocks"].items():
        own = config | config["blocks"].get(config["pattern"][index % len(config["pattern"])], {})
        norm, mlp, pre = own["norm"], own["mlp"], own["norm_position"] == "pre"
        for name in ("mixer", "mlp") if mlp != "none" else ("mixer",):
            layer = numpy_mixer if name == "mixer" else numpy_mlp
            p, p_norm = block[name], block.get(f"{name}_norm")
            y = layer(numpy_norm(x, p_norm, norm) if pre else x, p, mlp)
            y = x + y if own["residual"] else y
            x = y if pre else numpy_norm(y, p_norm, norm)
    if config["norm_position"] == "pre":
        x = numpy_norm(x, params.get("norm"), config["norm"])
    if config.get("tied_embeddings"):
        return x @ params["embedding"]["table"].T / math.sqrt(x.shape[-1])
    return numpy_linear(x, params["head"])


@pytest.mark.parametrize(
    ("norm", "norm_position", "mlp", "positions"),
    [
        ("layer", "pre", "none", "none"),
        ("layer", "pre", "gelu", "learned"),
        ("layer", "post", "gated", "sinusoidal"),
        ("rms", "pre", "gated", "none"),
        ("rms", "post", "gelu", "none"),
    ],
)
def test_scores_are_what_the_equations_say(norm, norm_position, mlp, positions):
    config = section(
        norm=norm,
        norm_position=norm_position,
        mlp=mlp,
        mlp_expansion=None if mlp == "none" else 1.5,
        positions=positions,
        max_length=10 if positions == "learned" else None,
    )
    _, params, apply = build(config)
    inputs = tokens(2, 7)
    scores = apply(params, batch(inputs))
    assert scores.shape == (2, 7, 5)
    np.testing.assert_allclose(scores, numpy_model(params, inputs, **config), rtol=1e-4, atol=1e-5)


def test_blocks_of_a_name_have_settings_of_their_own():
    """Norms or none, residual connections or none, an MLP or none; and the head is the table."""
    config = section(depth=4, pattern=("plain", "wide", "bare"), norm="rms", tied_embeddings=True)
    config["mixers"] = dict.fromkeys(config["pattern"], POINTWISE)
    wide = {"norm": "layer", "norm_position": "post", "mlp": "gated", "mlp_expansion": 1.5}
    config["blocks"] = {"wide": wide, "bare": {"norm": "none", "residual": False}}
    _, params, apply = build(config, MANY_TO_MANY._replace(outputs=VOCABULARY))
    assert "head" not in params
    inputs = tokens(2, 7)
    expected = numpy_model(params, inputs, **config)
    np.testing.assert_allclose(apply(params, batch(inputs)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", [None, "mean"])
@pytest.mark.parametrize("mlp", ["none", "gelu", "gated"])
def test_cost_counts_the_products(mlp, pooling):
    """Exactly, with a head that scores each position or one summary."""
    spec = MANY_TO_MANY if pooling is None else MANY_TO_ONE
    config = section(mlp=mlp, mlp_expansion=None if mlp == "none" else 1.5, pooling=pooling)
    model = build_model(config, spec)
    shapes, row = jax.eval_shape(model.init, jax.random.key(0)), batch(tokens(1, 7))
    assert count_flops(model.apply, shapes, row) == model.cost(row).flops


def test_the_pattern_is_tiled_over_the_depth():
    short, long = POINTWISE | {"kernel": 2}, POINTWISE | {"kernel": 3}
    changes = {"pattern": ("short", "long", "long"), "mixers": {"short": short, "long": long}}
    model = build_model(section(depth=5) | changes, MANY_TO_MANY)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    kernels = [block["mixer"]["weights"].shape[0] for block in shapes["blocks"].values()]
    assert kernels == [2, 3, 3, 2, 3]


def test_features_are_projected():
    spec = MANY_TO_MANY._replace(inputs="features", input_size=3)
    _, params, apply = build(section(), spec)
    features = np.random.default_rng(0).normal(size=(2, 7, 3)).astype(np.float32)
    projected = numpy_linear(features, params["embedding"]["features"])
    known = params | {"embedding": {"table": projected.reshape(14, 8)}}
    expected = numpy_model(known, np.arange(14).reshape(2, 7), **section())
    np.testing.assert_allclose(apply(params, batch(features)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", ["last", pytest.param("mean", marks=pytest.mark.slow)])
def test_padding_changes_no_summary(pooling):
    _, params, apply = build(section(SET, pooling=pooling), MANY_TO_ONE)
    inputs = tokens(3, 9)
    mask = np.ones((3, 9), bool)
    mask[1, 4:] = mask[2, :5] = False
    scores = np.asarray(apply(params, batch(inputs, mask=mask)))
    assert scores.shape == (3, 5)
    refilled = np.where(mask, inputs, tokens(3, 9, seed=1))
    np.testing.assert_array_equal(apply(params, batch(refilled, mask=mask)), scores)
    np.testing.assert_allclose(scores[0], apply(params, batch(inputs))[0], rtol=1e-5, atol=1e-6)
    shorter = apply(params, batch(np.stack([inputs[1, :4], inputs[2, 5:]])))
    np.testing.assert_allclose(scores[1:], shorter, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_summary_is_of_all_positions_or_the_last(pooling):
    # After post-norm blocks that mix nothing, only the head comes after the summary.
    config = section(norm_position="post")
    _, params, apply = build(config)
    every = np.asarray(apply(params, batch(tokens(2, 7))))
    _, _, summarise = build(config | {"pooling": pooling}, MANY_TO_ONE)
    expected = every.mean(axis=1) if pooling == "mean" else every[:, -1]
    scores = summarise(params, batch(tokens(2, 7)))
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_labelled_positions_get_the_scores_that_they_have_among_all():
    _, params, apply = build(section(SET | {"causal": True}, mlp="gelu", mlp_expansion=2.0))
    positions = np.array([[0, 6, 3], [5, 5, 1]])
    every = apply(params, batch(tokens(2, 7)))
    some = apply(params, batch(tokens(2, 7), positions=positions))
    expected = np.take_along_axis(np.asarray(every), positions[:, :, None], axis=1)
    np.testing.assert_allclose(some, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("positions", ["none", "learned", "sinusoidal"])
def test_only_positions_tell_the_order_of_a_set(positions):
    max_length = 7 if positions == "learned" else None
    _, params, apply = build(
        section(SET, positions=positions, max_length=max_length, pooling="mean"), MANY_TO_ONE
    )
    inputs = tokens(4, 7)
    order = [3, 1, 6, 0, 5, 2, 4]
    moved = np.abs(apply(params, batch(inputs[:, order])) - apply(params, batch(inputs))).max()
    assert moved < 1e-5 if positions == "none" else moved > 1e-3


def test_dropout_needs_a_key_and_follows_it():
    config = section(depth=1, mlp="gelu", mlp_expansion=2.0)
    _, params, apply = build(config | {"dropout": 0.25})
    _, _, without = build(config)
    given = batch(tokens(2, 7))
    first, second = jax.random.key(1), jax.random.key(2)
    np.testing.assert_array_equal(apply(params, given), without(params, given))
    np.testing.assert_array_equal(apply(params, given, first), apply(params, given, first))
    dropped, other = apply(params, given, first), apply(params, given, second)
    assert np.all(np.any(np.asarray(dropped) != np.asarray(other), axis=-1))


def test_bfloat16_computes_with_float32_parameters():
    mixer = SET | {"causal": True}
    config = section(mixer, depth=1, mlp="gated", mlp_expansion=2.0, positions="sinusoidal")
    _, params, full = build(config)
    model, _, half = build(config | {"dtype": "bfloat16"})
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
    given = batch(tokens(2, 7))
    expected, actual = full(params, given), half(params, given)
    assert (expected.dtype, actual.dtype) == (jnp.float32, jnp.bfloat16)
    np.testing.assert_allclose(np.asarray(actual, np.float32), expected, atol=0.1)


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_every_parameter_has_a_gradient(dtype):
    config = section({"kind": "gru"}, depth=1, mlp="gated", mlp_expansion=2.0, dtype=dtype)
    model, params, _ = build(config | {"positions": "learned", "max_length": 7})

    def loss(params):
        scores = model.apply(params, batch(tokens(4, 7)), jax.random.key(0))
        return jnp.sum(scores.astype(jnp.float32) ** 2)

    for path, gradient in jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(params)):
        assert gradient.dtype == jnp.float32
        assert np.isfinite(gradient).all(), path
        assert np.any(np.asarray(gradient) != 0), path


LENGTH = 70  # past the window of 16, and past the 55 positions that two convolutions see
HYBRID = section(
    depth=3,
    pattern=("local", "gru", "global"),
    mixers={
        "local": {"kind": "attention", "window": 5},
        "gru": {"kind": "gru"},
        "global": {"kind": "attention"},
    },
    norm_position="post",
    short_convolution=4,
    short_activation="silu",
    blocks={"global": {"short_convolution": None, "short_activation": "none"}},
    positions="learned",
    max_length=LENGTH,
)
EXTENDED = {
    "by name": HYBRID,
    "sinusoidal": section(SET | {"causal": True}, positions="sinusoidal"),
}
EXTENDED |= {
    name: preset(name, parameters=1000, depth=2, causal=True, pooling=None, length=LENGTH)
    for name in PRESETS
    if name != "bidirectional"
}


def check_extend(name: str) -> None:
    """Pieces of a sequence get the scores that they have in the whole."""
    model, params, apply = build(EXTENDED[name])
    assert model.facts.streams
    extend = jax.jit(model.extend)
    inputs = tokens(2, LENGTH)
    state = model.start(params, 2, LENGTH)
    pieces = np.split(inputs, [1, 2, (LENGTH + 2) // 2], axis=1)  # of two lengths: two programs
    scores = []
    for piece in pieces:
        some, state = extend(params, piece, state)
        scores.append(some)
    np.testing.assert_array_equal(state["count"], [LENGTH, LENGTH])
    expected = apply(params, batch(inputs))
    np.testing.assert_allclose(np.concatenate(scores, axis=1), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_past_its_room_a_cache_ends_and_a_recurrence_does_not():
    """An error where the numbers are at hand; within a program no scores but NaN."""
    model, params, _ = build(EXTENDED["by name"])
    inputs = tokens(2, 8)
    extend = jax.jit(model.extend)
    few = np.arange(8)[None] < np.array([[3], [5]])
    _, state = extend(params, inputs, model.start(params, 2, 8), few)
    scores, after = extend(params, inputs[:, :4], state)
    np.testing.assert_array_equal(np.isnan(scores).any(axis=2), [[False] * 4, [False] * 3 + [True]])
    np.testing.assert_array_equal(after["count"], [7, 9])
    with pytest.raises(ParameterError, match="room for 8 positions can't go on to 9; start one"):
        model.extend(params, inputs[:, :4], state)
    with pytest.raises(ParameterError, match="room for 7 positions can't go on to 8"):
        jax.eval_shape(model.extend, params, inputs, model.start(params, 2, 7))
    endless, params, _ = build(EXTENDED["gru"])
    extend = jax.jit(endless.extend)
    _, state = extend(params, inputs, endless.start(params, 2, 1))
    assert np.isfinite(extend(params, inputs, state)[0]).all()


@pytest.mark.parametrize(
    "name",
    [
        "by name",
        *[pytest.param(name, marks=pytest.mark.slow) for name in ("hybrid", "tcn")],
        *[soak_only(name) for name in ("sinusoidal", "neighbourhood")],
    ],
)
def test_extend_in_pieces_equals_apply(name):
    """Some presets; soak/soak_model.py has them all."""
    check_extend(name)


def test_a_model_with_a_mixer_that_sees_both_sides_is_not_causal():
    spec = MANY_TO_MANY._replace(causal=False)
    assert not build_model(section(SET), spec).facts.causal
    assert build_model(section(SET | {"causal": True}), spec).facts.causal
