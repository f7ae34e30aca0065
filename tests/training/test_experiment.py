"""Experiments that can't be run are refused before anything is compiled, in one line."""

import re

import numpy as np
import pytest
from ml_collections import ConfigDict

from seqmodels.errors import ConfigError, ParameterError
from seqmodels.tasks.files.text import Text
from seqmodels.training.experiment import TrainSettings, build_experiment

ATTENTION = {"kind": "attention", "heads": 4, "window": 16, "causal": True, "positions": "rotary"}
EXPERIMENT = {
    "seed": 0,
    "task": {"kind": "digits", "shift": 1.0, "rotation": 0.0, "scaling": 0.0},
    "model": {
        "width": 24,
        "depth": 2,
        "pattern": ("gru", "local"),
        "mixers": {"gru": {"kind": "gru"}, "local": ATTENTION},
        "mlp": "none",
        "pooling": "mean",
    },
    "optimizer": {
        "learning_rate": 1e-3,
        "warmup_steps": 5,
        "final_learning_rate": 0.0,
        "weight_decay": 0.0,
        "beta1": 0.9,
        "beta2": 0.98,
        "clip_norm": 1.0,
    },
    "train": {
        "steps": 10,
        "batch_size": 64,
        "length": 64,
        "accumulate": 1,
        "log_every": 1,
        "evaluate_every": 5,
    },
}


def changed(key, value) -> ConfigDict:
    """The experiment above with one key set otherwise."""
    config = ConfigDict(EXPERIMENT, type_safe=False)
    *sections, leaf = key.split(".")
    section = config
    for name in sections:
        section = section[name]
    section[leaf] = value
    return config


def refusal(config: ConfigDict) -> str:
    with pytest.raises(ConfigError) as caught:
        build_experiment(config)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.mixers.gru.kind", "lstm"),
        ("model.mixers.local.window", None),
        ("model.mixers.local.heads", 12),
        ("optimizer.clip_norm", None),
        ("optimizer.learning_rate", 1),
        ("train.accumulate", 8),
        ("seed", 2**32 - 1),
    ],
)
def test_what_is_allowed(key, value):
    build_experiment(changed(key, value))


@pytest.mark.parametrize(
    ("key", "value", "rest"),
    [
        ("train.steps", 0, " is below 1"),
        ("train.length", -1, " is below 1"),
        ("train.length", 63, " can't be made by the task digits: an image has 64 places"),
        ("train.length", "64", ": TrainSettings wants int"),
        ("model.width", 0, " is below 1"),
        ("model.depth", -1, " is below 1"),
        ("model.pattern", (), " names no mixer"),
        ("model.pattern", ("gru", "loca"), ": no mixer 'loca' in mixers; did you mean 'local'?"),
        ("model.mixers.gru", "gru", " is not a section with a key 'kind'"),
        ("model.mixers.gru.kind", "gruu", " is not known; did you mean 'gru'? (known: attention"),
        ("model.mixers.gru.window", 8, " is never read by GRU; known: form"),
        ("model.mixers.local.window", 0, " is below 1; a window of 1 is the position itself, "),
        ("model.mixers.local.window", "8", ": Attention wants int or None"),
        ("model.mixers.local.heads", 0, " is below 1"),
        ("model.mixers.local.heads", 5, " does not divide the width 24; choose one of 1, 2, 3, "),
        ("model.mlp_expansion", 2.0, " is never read with mlp='none'; leave it None"),
        ("model.max_length", 64, " is never read with positions='none'; leave it None"),
        ("model.pooling", None, "; a many-to-one task needs it"),
        ("model.dropout", 1.0, " is not "),
        ("model.width", 2**23, " is above 1,048,576; lower it"),
        ("model.mixers.local.window", 2**31, " is not below 16,777,216; lower it"),
        ("optimizer.learning_rate", 1e39, " does not fit in a float of 32 bits, below 3.4e38"),
        ("model.dtype", "float16", ": SequenceSettings wants one of 'float32', 'bfloat16'"),
        ("task.kind", "digit", " is not known; did you mean 'digits'? (known: adding, comp"),
        ("task.pairs", 4, " is never read by Digits; known: layout, rotation, scaling, shift"),
        ("task.seed", 4, " is never read by Digits; known: layout, rotation, scaling, shift"),
        ("task.shift", 8.0, " is not at least 0 and below 8 pixels"),
        ("optimizer.learning_rate", 0.0, " is not above 0"),
        ("optimizer.learning_rate", float("inf"), " is not finite"),
        ("optimizer.warmup_steps", 10, " is not at least 0 and below train.steps=10"),
        ("train.on_divergence", "go on", ": TrainSettings wants one of 'stop', 'skip', 'back'"),
        ("train.most_divergences", 3, " is never read with on_divergence='stop'; leave it None"),
        ("train.back", 1, " is never read with on_divergence='stop'; leave it None"),
        ("train.spike_losses", 10, " is never read with spike=None; leave it None"),
        ("train.keep", 0, " is below 1"),
        ("train.keep_every", 8, " is no multiple of evaluate_every=5, after which steps are saved"),
        ("train.save_every_seconds", 0.0, " is not above 0 or None"),
        ("train.watchdog_seconds", -1.0, " is not above 0 or None"),
        ("optimizer.momentum", 0.9, " is never read by AdamW; known: average, beta1, beta2, "),
        ("optimizer.kind", "adan", " is not known; did you mean 'adam'? (known: adam, adamw, "),
        ("optimizer.clip_norm", 0.0, " is not above 0 or None"),
        ("optimizer.beta2", 1.0, " is not at least 0 and below 1"),
    ],
)
def test_what_is_refused_by_itself(key, value, rest):
    """The message begins with the key's full path and the value."""
    assert refusal(changed(key, value)).startswith(f"{key}={value!r}{rest}")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", -1, "config.seed=-1 is not at least 0 and below 2**32"),
        ("seed", 2**32, "config.seed=4294967296 is not at least 0 and below 2**32"),
        ("sweep", 1, "config.sweep=1 is never read by Settings; "),
        ("model", 1, "config.model=1: Settings wants "),
        (
            "task",
            {},
            "task.kind=None is not known; known: adding, compression, copy, copy_string, ",
        ),
        ("train.accumulate", 3, "train.batch_size=64 can't be shared equally among 3 micro-"),
        ("model.depth", 1, "model.mixers.local is never read: pattern=('gru', 'local') does not"),
        ("model.mixers.spare", {}, "model.mixers.spare is never read: pattern=('gru', 'local')"),
        ("model.mlp", "gelu", "model.mlp_expansion=None; mlp='gelu' needs it"),
        ("model.positions", "learned", "model.max_length=None; positions='learned' needs it"),
    ],
)
def test_what_is_refused_together_with_other_keys(key, value, message):
    assert refusal(changed(key, value)).startswith(message)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"on_divergence": "skip"}, "most_divergences=None; on_divergence='skip' needs it"),
        (
            {"on_divergence": "skip", "most_divergences": 1, "back": 1},
            "back=1 is never read with on_divergence='skip'; leave it None",
        ),
        (
            {"on_divergence": "back", "most_divergences": 1},
            "back=None; on_divergence='back' needs it",
        ),
        ({"spike": 2.0}, "spike_losses=None; spike=2.0 needs it"),
        ({"spike": 1.0, "spike_losses": 5}, "spike=1.0 is not above 1 or None"),
        (
            {"spike": 2.0, "spike_losses": 10_001},
            "spike_losses=10001 is above 10,000: each step takes their median",
        ),
    ],
)
def test_what_is_refused_of_reliability(train, message):
    whole = {"steps": 10, "batch_size": 64, "length": 64}
    with pytest.raises(ParameterError, match=f"^{re.escape(message)}$"):
        TrainSettings(**whole, **train)


def test_a_section_that_is_missing():
    config = ConfigDict({key: EXPERIMENT[key] for key in EXPERIMENT if key != "train"})
    assert refusal(config) == "config.train is missing; Settings needs it"


def test_a_text_whose_test_split_is_too_short(monkeypatch):
    """It would otherwise show at the end of training, when the test split is first read."""
    lengths = {"train": 1000, "validation": 1000, "test": 50}
    text = {split: np.zeros(length, np.uint8) for split, length in lengths.items()}
    monkeypatch.setattr(Text, "bytes", text)
    config = changed("task", {"kind": "text"})
    config.model.pooling = None
    message = "train.length=64 can't be made by the task text: the test files hold 50 bytes"
    assert refusal(config) == message


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("convolution", {"kernel": 2**21}, "kernel=2097152 sees 2,097,152 positions, above 1,048,"),
        ("convolution", {"kernel": (2**10, 2**11)}, "kernel=(1024, 2048) sees 2,097,152 positions"),
        ("convolution", {"kernel": 3, "dilation": 2**23}, "dilation=8388608 puts the ends of "),
        (
            "neighbourhood_attention",
            {"kernel": 2**17},
            "kernel=131072 has 131,072 keys for each query, ",
        ),
    ],
)
def test_kernels_that_see_too_much(kind, settings, message):
    """Their offsets would be counted out one by one, or not fit 32 bits."""
    config = changed("model.mixers.gru", {"kind": kind, **settings})
    assert refusal(config).startswith(f"model.mixers.gru.{message}")


def test_an_mlp_that_is_too_wide():
    config = changed("model.mlp", "gelu")
    config.model.mlp_expansion = 1e30
    message = "model.mlp_expansion=1e+30 makes an MLP of more than 16,777,216 features; lower it"
    assert refusal(config) == message


@pytest.mark.parametrize("key", ["symbols", "pattern"])
def test_more_tokens_than_can_be_told_apart(key):
    """NumPy's draws of 32-bit tokens would end in an exception of its own."""
    config = changed("task", {"kind": "copy", key: 2**31, "evaluation_examples": 2**31})
    assert refusal(config) == f"task.{key}=2147483648 is not below 16,777,216; lower it"
