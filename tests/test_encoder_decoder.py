"""Models that write sequences: what they see, what they refuse, and that they learn.

Each way to read a source meets two readers and two writers here; soak/soak_encoder_decoder.py has
every reader and every writer by itself with each.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from seqmodels.errors import ConfigError
from seqmodels.flops import count_flops
from seqmodels.model import build_model
from seqmodels.tasks.base import Batch, TaskSpec
from seqmodels.training.experiment import build_experiment
from seqmodels.training.sharding import make_mesh, put_batch, replicated
from seqmodels.training.step import initial_state, jit_train_step
from tests.drawn_parameters import draw_parameters
from tests.soaking import soak_only

SPEC = TaskSpec("sequence-to-sequence", "tokens", 5, 6, False, "exact_match", True, end=5)
FROM_ONE = TaskSpec("one-to-many", "tokens", 4, 6, True, "bits_per_pixel", False)


def stack(kind: str, depth: int = 2, **settings) -> dict:
    """Blocks of one mixer."""
    return {"depth": depth, "pattern": ("one",), "mixers": {"one": {"kind": kind, **settings}}}


GRU = stack("gru")


def all_of(mixers: dict[str, dict]) -> dict:
    """A block of each of the mixers."""
    return {"depth": len(mixers), "pattern": tuple(mixers), "mixers": mixers}


READERS = {
    "gru": {"kind": "gru"},
    "bidirectional": {"kind": "bidirectional", "mixer": {"kind": "lstm"}},
    "convolution": {"kind": "convolution", "kernel": 3, "causal": False},
    "attention": {"kind": "attention", "heads": 2, "causal": False},
}
WRITERS = {
    "gru": {"kind": "gru"},
    "convolution": {"kind": "convolution", "kernel": 3},
    # Scaled by the length of the source, as nothing knows that of what will be written.
    "attention": {"kind": "attention", "heads": 2, "rotary_scaling": "linear", "trained_length": 2},
    "neighbourhood-attention": {"kind": "neighbourhood_attention", "kernel": 3, "heads": 2},
}
WAYS = {
    "summary": {"pooling": "last", "positions": "learned", "max_length": 10},
    "additive": {"cross": "additive", "cross_heads": 1},
    "scaled-dot-and-summary": {"cross": "scaled_dot", "cross_heads": 2, "pooling": "mean"},
    "dot": {"cross": "dot", "cross_heads": 2, "positions": "sinusoidal"},
}

IN_SOAK = ("additive", "scaled-dot-and-summary")
"""Whose scores tests of operations and models have; each mixer reads and writes in the others."""
some_ways = pytest.mark.parametrize(
    "way", [soak_only(way) if way in IN_SOAK else way for way in WAYS]
)


def build(spec=SPEC, **changes):
    """A small model that writes."""
    section = {"width": 8, "encoder": GRU, "decoder": GRU, "pooling": "last"}
    return build_model(section | changes, spec)


def batch_of(rows: int = 3, length: int = 7, written: int = 6) -> Batch:
    """Random sources of different lengths, and targets."""
    random = np.random.default_rng(0)
    lengths = random.integers(1, length + 1, rows)
    mask = np.arange(length)[None] < lengths[:, None]
    inputs = np.where(mask, random.integers(0, 5, (rows, length)), 0).astype(np.int32)
    targets = random.integers(0, 6, (rows, written)).astype(np.int32)
    return Batch(inputs, targets, np.ones((rows, written), np.float32), mask)


def functions(model):
    """Parameters, and apply, start and extend, jitted."""
    return (
        draw_parameters(model),
        jax.jit(model.apply),
        jax.jit(model.start, static_argnums=2),
        jax.jit(model.extend),
    )


def two_of(mixers: dict[str, dict], way: str) -> dict:
    """A block of each of two mixers; each mixer meets two ways."""
    names, first = list(mixers), list(WAYS).index(way)
    return all_of({name: mixers[name] for name in (names[first - 1], names[first])})


@cache
def writing(way: str):
    """The functions of a model that reads and writes, each with two mixers."""
    changes = {"pooling": None} | WAYS[way]
    return functions(build(encoder=two_of(READERS, way), decoder=two_of(WRITERS, way), **changes))


def previous(targets: np.ndarray, begin: int) -> np.ndarray:
    """The begin token and all targets but the last."""
    return np.concatenate([np.full((len(targets), 1), begin, np.int32), targets[:, :-1]], axis=1)


def check_writing(params, apply, start, extend):
    """In pieces the scores are those of one call, and they depend on earlier targets alone.

    There is room for more than is written: it decides nothing.
    """
    batch = batch_of()
    whole = np.asarray(apply(params, batch))
    state = start(params, batch, 9)
    tokens, outputs = previous(batch.targets, 6), []
    for piece in np.split(tokens, [1, 2, 4], axis=1):
        output, state = extend(params, piece, state)
        outputs.append(output)
    np.testing.assert_allclose(np.concatenate(outputs, 1), whole, rtol=1e-4, atol=1e-5)
    targets = batch.targets.copy()
    targets[:, 3] = (targets[:, 3] + 1) % 6
    after = np.asarray(apply(params, batch._replace(targets=targets)))
    np.testing.assert_array_equal(after[:, :4], whole[:, :4])
    assert (after[:, 4:] != whole[:, 4:]).any(axis=2).all()


def check_reading(params, apply):
    """Every row's scores depend on its source, and not on what or how much pads it."""
    batch = batch_of()
    scores = np.asarray(apply(params, batch))
    filled = batch._replace(inputs=np.where(batch.mask, batch.inputs, 4).astype(np.int32))
    np.testing.assert_array_equal(apply(params, filled), scores)
    longer = batch._replace(
        inputs=np.pad(batch.inputs, ((0, 0), (0, 3))), mask=np.pad(batch.mask, ((0, 0), (0, 3)))
    )
    np.testing.assert_allclose(apply(params, longer), scores, rtol=1e-4, atol=1e-5)
    moved = np.where(batch.mask, (batch.inputs + 1) % 5, 0).astype(np.int32)
    changed = np.asarray(apply(params, batch._replace(inputs=moved)))
    assert (np.abs(changed - scores).max(axis=(1, 2)) > 1e-4).all()


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_cost_counts_the_products_of_both_sides(way):
    """From both sides: nothing is left out, and nothing counted that isn't there."""
    model = build(**({"pooling": None, "mlp": "gelu", "mlp_expansion": 2.0} | WAYS[way]))
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    row = batch_of(rows=1, length=6)
    assert count_flops(model.apply, shapes, row) == model.cost(row).flops


@pytest.mark.slow
def test_every_dropout_has_a_key_of_its_own(monkeypatch):
    used = []
    monkeypatch.setattr("seqmodels.block.dropout", lambda x, rate, key: used.append(key) or x)
    model = build(cross="dot", cross_heads=2, mlp="gelu", mlp_expansion=2.0)

    @jax.jit
    def keys():
        model.apply(model.init(jax.random.key(0)), batch_of(), jax.random.key(1))
        return jnp.stack([jax.random.key_data(key) for key in used])

    # Two blocks that read, with two dropouts each, and two that write, with three.
    assert len(np.unique(keys(), axis=0)) == len(used) == 2 * 2 + 2 * 3


@pytest.mark.slow
@some_ways
def test_writing_token_by_token_equals_one_call(way):
    check_writing(*writing(way))


@pytest.mark.slow
@some_ways
def test_what_is_written_depends_on_the_source_and_not_on_its_padding(way):
    check_reading(*writing(way)[:2])


def test_one_to_many_writes_from_one_input():
    model = build(FROM_ONE, encoder=None, pooling=None, decoder=stack("gru", depth=1))
    params, apply, start, extend = functions(model)
    targets = batch_of().targets
    batch = Batch(np.array([0, 1, 1], np.int32), targets, np.ones(targets.shape, np.float32))
    whole = np.asarray(apply(params, batch))
    assert whole.shape == (3, 6, 6)
    other = np.asarray(apply(params, batch._replace(inputs=np.array([2, 1, 1], np.int32))))
    assert np.abs(other - whole)[0].max() > 1e-4
    np.testing.assert_array_equal(other[1:], whole[1:])
    outputs, _ = extend(params, previous(targets, 6), start(params, batch, 6))
    np.testing.assert_allclose(outputs, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_scheduled_sampling_replaces_tokens_in_training_alone():
    small = {"encoder": stack("gru", depth=1), "decoder": stack("gru", depth=1)}
    sampling, plain = build(scheduled_sampling=0.5, **small), build(**small)
    params, batch, key = draw_parameters(plain), batch_of(), jax.random.key(1)
    sample, force = jax.jit(sampling.apply), jax.jit(plain.apply)
    np.testing.assert_allclose(sample(params, batch), force(params, batch), rtol=1e-5, atol=1e-6)
    trained, forced = (np.asarray(apply(params, batch, key)) for apply in (sample, force))
    np.testing.assert_allclose(trained[:, 0], forced[:, 0], rtol=1e-5, atol=1e-6)  # begin stays
    assert np.abs(trained[:, 1:] - forced[:, 1:]).max() > 1e-3


def test_blocks_of_each_side_have_settings_of_their_own():
    wide = {"one": {"mlp": "gelu", "mlp_expansion": 2.0}}
    model = build(mlp="gelu", mlp_expansion=3.0, decoder=GRU | {"blocks": wide})
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    for side, features in (("encoder", 24), ("decoder", 16)):
        for block in shapes[side]["blocks"].values():
            assert block["mlp"]["inputs"]["bias"].shape == (features,)


def test_the_table_of_the_written_tokens_may_score_them():
    """A last block without norm and residual, whose mixer gives nothing, leaves an MLP's bias."""
    model = build(tied_embeddings=True, norm="none", residual=False, mlp="gelu", mlp_expansion=1.0)
    params, apply, _, _ = functions(model)
    assert "head" not in params
    outputs = params["decoder"]["blocks"][1]["mlp"]["outputs"]
    outputs["weights"] = np.zeros_like(outputs["weights"])
    expected = params["written"]["table"][:6] @ outputs["bias"] / np.sqrt(8)
    scores = apply(params, batch_of())
    np.testing.assert_allclose(scores, np.broadcast_to(expected, (3, 6, 6)), rtol=1e-5, atol=1e-6)


REFUSED = {
    "no-encoder": (SPEC, {"encoder": None}, "model.encoder=None: a sequence-to-sequence task"),
    "needless-encoder": (FROM_ONE, {"pooling": None}, "model.encoder={...}: a one-to-many task"),
    "cross-from-one": (
        FROM_ONE,
        {"encoder": None, "pooling": None, "cross": "dot", "cross_heads": 1},
        "model.cross='dot': a one-to-many task has no source",
    ),
    "no-way": (SPEC, {"pooling": None}, "model.pooling=None with cross='none': the decoder learns"),
    "no-heads": (SPEC, {"cross": "dot"}, "model.cross_heads=None; cross='dot' needs it"),
    "odd-heads": (SPEC, {"cross": "dot", "cross_heads": 3}, "heads=3 does not divide the width 8"),
    "centred-decoder": (
        SPEC,
        {"decoder": stack("convolution", kernel=3, causal=False)},
        "model.decoder.mixers.one.causal=False: the task's outputs may depend",
    ),
    "strided-decoder": (
        SPEC,
        {"decoder": stack("convolution", stride=2)},
        "model.decoder.mixers.one.stride=2 leaves fewer outputs than positions",
    ),
    "unknown-key": (SPEC, {"decoder": GRU | {"dept": 1}}, "model.decoder.dept=1 is never read"),
    "block": (
        SPEC,
        {"decoder": GRU | {"blocks": {"one": {"mlp": "gelu"}}}},
        "model.decoder.blocks.one.mlp_expansion=None; mlp='gelu' needs it",
    ),
    "shared": (
        SPEC,
        {"mlp": "gelu", "mlp_expansion": 0.01},
        "model.mlp_expansion=0.01 leaves the MLP no width",
    ),
    "sampling": (SPEC, {"scheduled_sampling": 2.0}, "model.scheduled_sampling=2.0 is not within"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_in_one_line(name):
    spec, changes, message = REFUSED[name]
    with pytest.raises(ConfigError) as raised:
        build(spec, **changes)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def experiment(task: dict, length: int, **model):
    """A small run on a task that writes."""
    one = stack("gru", depth=1)
    section = {"width": 32, "encoder": one, "decoder": one, "pooling": "last"}
    optimizer = {
        "learning_rate": 1e-2,
        "warmup_steps": 0,
        "final_learning_rate": 1e-2,
        "weight_decay": 0.0,
        "beta1": 0.9,
        "beta2": 0.98,
        "clip_norm": 1.0,
    }
    train = {"steps": 100, "batch_size": 32, "length": length, "accumulate": 2}
    return build_experiment(
        ConfigDict(
            {
                "seed": 0,
                "task": task,
                "model": section | model,
                "optimizer": optimizer,
                "train": train | {"log_every": 1, "evaluate_every": 1},
            }
        )
    )


LEARNED = {
    "reverse": ({"symbols": 3}, 4, {"cross": "scaled_dot", "cross_heads": 1}),
    "copy_string": ({"symbols": 3}, 4, {"cross": "additive", "cross_heads": 1}),
    "digits_from_class": ({}, 64, {"encoder": None, "pooling": None}),
    "sort": ({"symbols": 3}, 4, {}),
    "dates": ({}, 30, {"cross": "additive", "cross_heads": 1}),
}


def check_learning(name: str) -> None:
    """The loss falls within 80 steps."""
    task, length, model = LEARNED[name]
    of = experiment({"kind": name} | task, length, **model)
    mesh = make_mesh(1)
    step = jit_train_step(of.model, of.task, of.optimizer, 2, 0, mesh)
    shapes = jax.eval_shape(lambda: initial_state(of.model, of.optimizer, 0))
    state = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    state = jax.device_put(state._replace(params=draw_parameters(of.model)), replicated(mesh))
    losses = []
    for k in range(80):
        batch = put_batch(of.task.batch("train", k, 32, length), mesh)
        state, report = step(state, batch)
        total, count = report.read()["loss"]
        losses.append(total / count)
    assert np.mean(losses[-5:]) < 0.7 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", [soak_only("reverse"), "digits_from_class"])
def test_learns(name):
    """From a source, and from one input; soak/soak_encoder_decoder.py has all of them."""
    check_learning(name)


def test_what_only_shows_while_tracing_is_refused_at_once():
    learned = {"positions": "learned", "max_length": 4}
    with pytest.raises(ConfigError, match=r"model\.max_length=4 is below the length 5"):
        experiment({"kind": "reverse"}, 4, **learned)
    assert experiment({"kind": "reverse"}, 3, **learned).model.facts.longest == 4


def test_state_can_be_carried_through_a_loop():
    model = build(cross="dot", cross_heads=2)
    params = jax.eval_shape(model.init, jax.random.key(0))
    state = jax.eval_shape(lambda p: model.start(p, batch_of(), 6), params)
    token = jax.ShapeDtypeStruct((3, 1), jnp.int32)
    state = jax.eval_shape(model.extend, params, token, state)[1]
    assert jax.eval_shape(model.extend, params, token, state)[1] == state
    assert {leaf.shape[0] for leaf in jax.tree.leaves(state)} == {3}
