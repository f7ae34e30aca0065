"""What a model section may not say, and the one line that says so."""

import jax
import pytest

from seqmodels.errors import ConfigError
from seqmodels.mixers import MIXERS
from seqmodels.model import build_model
from seqmodels.tasks.base import TaskSpec

MANY_TO_MANY = TaskSpec("many-to-many", "tokens", 11, 11, True, "loss", False)
MANY_TO_ONE = MANY_TO_MANY._replace(shape="many-to-one")
FEATURES = MANY_TO_MANY._replace(inputs="features")
KINDS = ", ".join(sorted(MIXERS))


def section(**changes):
    """A model section that can be built, with changes."""
    mixers = {"mixer": {"kind": "gru"}}
    return {"width": 8, "depth": 2, "pattern": ("mixer",), "mixers": mixers} | changes


def one(**mixer):
    """The change that makes this the only mixer."""
    return {"mixers": {"mixer": mixer}}


ERRORS = {
    "name-in-pattern": (
        {"pattern": ("mixr",)},
        "model.pattern=('mixr',): no mixer 'mixr' in mixers; did you mean 'mixer'? (known: mixer)",
    ),
    "pattern-empty": ({"pattern": ()}, "model.pattern=() names no mixer"),
    "mixer-not-in-pattern": (
        {"mixers": {"mixer": {"kind": "gru"}, "other": {"kind": "lstm"}}},
        "model.mixers.other is never read: pattern=('mixer',) does not reach it in 2 blocks",
    ),
    "mixer-past-the-depth": (
        {
            "depth": 1,
            "pattern": ("mixer", "other"),
            "mixers": {"mixer": {"kind": "gru"}, "other": {"kind": "lstm"}},
        },
        "model.mixers.other is never read: pattern=('mixer', 'other') does not reach it "
        "in 1 blocks",
    ),
    "kind": (
        one(kind="lstn"),
        f"model.mixers.mixer.kind='lstn' is not known; did you mean 'lstm'? (known: {KINDS})",
    ),
    "no-kind": (
        one(),
        f"model.mixers.mixer.kind=None is not known; known: {KINDS}",
    ),
    "mixer-key": (
        one(kind="attention", windw=5),
        "model.mixers.mixer.windw=5 is never read by Attention; did you mean 'window'? "
        "(known: causal, forgetting, form, heads, kv_heads, position_range, positions, qk_norm, "
        "rotary_scaling, score, sink_logit, sinks, trained_length, window)",
    ),
    "choice": (
        one(kind="rnn", activation="tan"),
        "model.mixers.mixer.activation='tan': RNN wants one of 'tanh', 'relu'",
    ),
    "heads": (
        one(kind="attention", heads=3),
        "model.mixers.mixer.heads=3 does not divide the width 8; choose one of 1, 2, 4, 8",
    ),
    "odd-heads": (
        one(kind="attention", heads=8),
        "model.mixers.mixer.positions='rotary' turns pairs of features; a head has an odd 1",
    ),
    "window": (
        one(kind="attention", window=0),
        "model.mixers.mixer.window=0 is below 1; "
        "a window of 1 is the position itself, None is global",
    ),
    "even-centred-kernel": (
        one(kind="convolution", kernel=4, causal=False),
        "model.mixers.mixer.kernel=4 has no centre; "
        "a centred convolution or attention (causal=False, and all axes but the first) needs an "
        "odd one",
    ),
    "dilation": (
        one(kind="convolution", dilation=0),
        "model.mixers.mixer.dilation=0 is below 1",
    ),
    "activation": (
        one(kind="convolution", activation="relu", gated=True),
        "model.mixers.mixer.activation='relu' is never read with gated=True; leave it 'gelu'",
    ),
    "unknown-activation": (
        one(kind="convolution", activation="tanh"),
        "model.mixers.mixer.activation='tanh': Convolution wants one of 'gelu', 'relu', 'silu', "
        "'none'",
    ),
    "causal-task": (
        one(kind="convolution", causal=False),
        "model.mixers.mixer.causal=False: the task's outputs may depend on earlier inputs "
        "alone; set it to True",
    ),
    "two-ranges": (
        {
            "pattern": ("mixer", "other"),
            "mixers": {
                name: {"kind": "attention", "position_range": below}
                for name, below in (("mixer", 9), ("other", 12))
            },
        },
        "model.position_range=[9, 12]: all mixers of a model spread positions over one range; "
        "set it to one value",
    ),
    "width": ({"width": -8}, "model.width=-8 is below 1"),
    "width-type": ({"width": 8.5}, "model.width=8.5: SequenceSettings wants int"),
    "depth": ({"depth": 0}, "model.depth=0 is below 1"),
    "dropout": ({"dropout": 1.0}, "model.dropout=1.0 is not at least 0 and below 1"),
    "mlp-expansion-unread": (
        {"mlp_expansion": 4.0},
        "model.mlp_expansion=4.0 is never read with mlp='none'; leave it None",
    ),
    "mlp-expansion-missing": (
        {"mlp": "gelu"},
        "model.mlp_expansion=None; mlp='gelu' needs it",
    ),
    "mlp-expansion-small": (
        {"mlp": "gelu", "mlp_expansion": 0.01},
        "model.mlp_expansion=0.01 leaves the MLP no width",
    ),
    "mlp-expansion-large": (
        {"mlp": "gelu", "mlp_expansion": 1e30, "blocks": {"mixer": {"norm": "rms"}}},
        "model.blocks.mixer.mlp_expansion=1e+30 makes an MLP of more than 16,777,216 features; "
        "lower it",
    ),
    "block-not-in-pattern": (
        {"blocks": {"mixr": {"mlp": "none"}}},
        "model.blocks.mixr is never read: pattern=('mixer',) does not reach it in 2 blocks",
    ),
    "block-key": (
        {"blocks": {"mixer": {"width": 4}}},
        "model.blocks.mixer.width=4 is never read by BlockSettings; known: dropout, mlp, "
        "mlp_expansion, norm, norm_position, residual, short_activation, short_convolution",
    ),
    "block-choice": (
        {"blocks": {"mixer": {"mlp": "relu"}}},
        "model.blocks.mixer.mlp='relu': BlockSettings wants one of 'gelu', 'gated', 'none'",
    ),
    "block-inherits": (
        {"mlp": "gelu", "mlp_expansion": 2.0, "blocks": {"mixer": {"mlp": "none"}}},
        "model.blocks.mixer.mlp_expansion=2.0 is never read with mlp='none'; leave it None",
    ),
    "block-dropout": (
        {"blocks": {"mixer": {"dropout": 1}}},
        "model.blocks.mixer.dropout=1.0 is not at least 0 and below 1",
    ),
    "short-kernel": (
        {"short_convolution": 1},
        "model.short_convolution=1 is not from 2 to 64 positions, 4 as a rule; None leaves it out",
    ),
    "short-activation-unread": (
        {"blocks": {"mixer": {"short_activation": "silu"}}},
        "model.blocks.mixer.short_activation='silu' is never read with short_convolution=None; "
        "leave it 'none'",
    ),
    "short-in-the-mixers-section": (
        one(kind="attention", short=4),
        "model.mixers.mixer.short=4 is never read by Attention; did you mean 'score'? "
        "(known: causal, forgetting, form, heads, kv_heads, position_range, positions, qk_norm, "
        "rotary_scaling, score, sink_logit, sinks, trained_length, window)",
    ),
    "block-no-section": (
        {"blocks": {"mixer": "gelu"}},
        "model.blocks.mixer='gelu' is not a section of a block's settings",
    ),
    "remat-unknown": (
        {"remat": "mixer_output"},
        "model.remat='mixer_output': nothing is called 'mixer_output'; did you mean "
        "'mixer_outputs'? (known: block, mixer_outputs, mlp_hidden, none, projections)",
    ),
    "remat-of-one-word-among-names": (
        {"remat": ("block", "mlp_hidden")},
        "model.remat=('block', 'mlp_hidden'): 'block' stands by itself; known: mixer_outputs, "
        "mlp_hidden, projections",
    ),
    "remat-twice": (
        {"remat": "mlp_hidden,mlp_hidden"},
        "model.remat='mlp_hidden,mlp_hidden' has a name twice; leave one out",
    ),
    "remat-of-nothing": (
        {"remat": ()},
        "model.remat=() names nothing; 'block' keeps the blocks' inputs alone",
    ),
    "remat-type": (
        {"remat": 3},
        "model.remat=3: SequenceSettings wants str or tuple[str, ...]",
    ),
    "offload-unread": (
        {"offload": True},
        "model.offload=True is never read with remat='none', which leaves everything where it is; "
        "set remat to 'block', or to names of what is kept beside the blocks' inputs",
    ),
    "repeat-once": (
        {"repeat": "scanned", "depth": 1},
        "model.repeat='scanned': model.pattern=('mixer',) is not repeated in depth=1; set it to "
        "'auto' or 'unrolled'",
    ),
    "repeat-unknown": (
        {"repeat": "scan"},
        "model.repeat='scan': SequenceSettings wants one of 'auto', 'unrolled', 'scanned'",
    ),
    "max-length-unread": (
        {"max_length": 10},
        "model.max_length=10 is never read with positions='none'; leave it None",
    ),
    "max-length-missing": (
        {"positions": "learned"},
        "model.max_length=None; positions='learned' needs it",
    ),
    "odd-sinusoids": (
        {"width": 7, "positions": "sinusoidal"},
        "model.width=7 is odd; positions='sinusoidal' needs pairs of features",
    ),
    "pooling-unread": (
        {"pooling": "mean"},
        "model.pooling='mean' is never read with a many-to-many task; leave it None",
    ),
    "key": (
        {"dropuot": 0.1},
        "model.dropuot=0.1 is never read by SequenceSettings; did you mean 'dropout'? "
        "(known: blocks, depth, dropout, dtype, max_length, mixers, mlp, mlp_expansion, norm, "
        "norm_position, offload, patch, pattern, pooling, positions, remat, repeat, residual, "
        "scan, short_activation, short_convolution, tied_embeddings, width)",
    ),
}


@pytest.mark.parametrize(
    ("spec", "read"),
    [(MANY_TO_MANY._replace(outputs=10), "11 tokens and scores 10"), (FEATURES, "11 features and")],
)
def test_only_tokens_that_are_scored_can_share_a_table(spec, read):
    build_model(section(tied_embeddings=True), MANY_TO_MANY)
    with pytest.raises(ConfigError) as raised:
        build_model(section(tied_embeddings=True), spec)
    assert str(raised.value).startswith("model.tied_embeddings=True scores the tokens that are")
    assert f"this task reads {read}" in str(raised.value)


@pytest.mark.parametrize("name", ERRORS)
def test_refuses_in_one_line(name):
    changes, message = ERRORS[name]
    with pytest.raises(ConfigError) as raised:
        build_model(section(**changes), MANY_TO_MANY)
    assert str(raised.value) == message


def test_the_section_that_the_changes_spoil_can_be_built():
    build_model(section(), MANY_TO_MANY)


def test_names_a_key_that_is_missing():
    config = section()
    del config["width"]
    with pytest.raises(ConfigError) as raised:
        build_model(config, MANY_TO_MANY)
    assert str(raised.value) == "model.width is missing; SequenceSettings needs it"


def test_many_to_one_needs_pooling():
    with pytest.raises(ConfigError) as raised:
        build_model(section(), MANY_TO_ONE)
    assert str(raised.value) == "model.pooling=None; a many-to-one task needs it"


def test_learned_positions_end():
    config = section(positions="learned", max_length=10)
    message = (
        "model.max_length=10 is below the length 11 that is asked for; learned positions end there"
    )
    with pytest.raises(ConfigError) as raised:
        build_model(config, MANY_TO_MANY, length=11)
    assert str(raised.value) == message
    model = build_model(config, MANY_TO_MANY, length=10)
    with pytest.raises(ConfigError) as raised:
        model.start(jax.eval_shape(model.init, jax.random.key(0)), 1, 11)
    assert str(raised.value) == message
