"""Configs with every key: defaults through the whole tree, and any of them can be set."""

import json

import pytest
from ml_collections import ConfigDict

from seqmodels.config import flatten, override, to_dict
from seqmodels.errors import ConfigError
from seqmodels.presets import PRESETS, preset
from seqmodels.training.decisions import decided
from seqmodels.training.experiment import build_experiment
from seqmodels.training.resolving import load_whole, resolved, settable
from seqmodels.training.sharding import make_mesh
from seqmodels.training.workdir import Workdir
from tests.command_line import ROOT

SHORT = {
    "task": {"kind": "reverse"},
    "model": {
        "width": 8,
        "encoder": {
            "depth": 1,
            "pattern": ["both"],
            "mixers": {"both": {"kind": "bidirectional", "mixer": {"kind": "rnn"}}},
        },
        "decoder": {
            "depth": 1,
            "pattern": ["one"],
            "mixers": {"one": {"kind": "convolution", "kernel": 3}},
        },
        "pooling": "mean",
    },
    "optimizer": {"learning_rate": 1e-3},
    "train": {"steps": 10, "batch_size": 4, "length": 8},
}


def load(arguments: str, **overrides: str) -> ConfigDict:
    keys = [(key.replace("__", "."), text) for key, text in overrides.items()]
    return load_whole(f"{ROOT}/configs/{arguments}", keys).config


def test_every_part_has_every_key():
    whole = to_dict(resolved(SHORT))
    assert whole["seed"] == 0
    assert whole["task"] == {
        "kind": "reverse",
        "symbols": 10,
        "shortest": 1,
        "evaluation_examples": 1000,
    }
    assert whole["optimizer"]["clip_norm"] == 1.0
    assert (whole["train"]["accumulate"], whole["train"]["truncate"]) == (1, None)
    model = whole["model"]
    assert (model["cross"], model["positions"], model["dropout"]) == ("none", "none", 0.0)
    assert model["encoder"]["mixers"]["both"]["mixer"] == {
        "kind": "rnn",
        "activation": "tanh",
        "form": None,
    }
    convolution = model["decoder"]["mixers"]["one"]
    assert (convolution["kernel"], convolution["dilation"], convolution["gated"]) == (3, 1, False)
    assert "scan" in model["decoder"]
    assert "width" not in {*model["decoder"], *convolution}, "it is the model's"
    assert to_dict(resolved(whole)) == whole
    build_experiment(whole)


@pytest.mark.parametrize(
    "config", [{}, {"task": 1, "model": [2]}, {"model": {"mixers": {"a": "x"}}, "task": {}}]
)
def test_what_is_no_config_stays_as_it_is(config):
    whole = to_dict(resolved(config))
    assert whole["seed"] == 0
    assert {**whole, **to_dict(ConfigDict(config))}.keys() == whole.keys()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_hold_what_differs_from_the_defaults(name):
    own = preset(name, parameters=1000, depth=12, causal=False, pooling=None)
    kinds = {k: {"kind": m["kind"], "mixer": {}} for k, m in own["mixers"].items()}
    needed = {key: own[key] for key in ("width", "depth", "pattern")} | {"mixers": kinds}
    defaults = flatten(resolved({"model": needed}))
    known = ("model.width", "model.depth", "model.pattern")
    for key, value in flatten({"model": own}).items():
        if key not in known and not key.endswith("kind"):
            assert defaults[key] != value, key


def test_any_key_of_the_schema_can_be_set():
    config = load(
        "copy.py:mixer=global",
        train__truncate="16",
        model__mixers__global__window="8",
        model__norm="rms",
        optimizer__clip_norm="None",
        optimizer__beta1="0",
    )
    assert config.train.truncate == 16
    assert config.model.mixers["global"].window == 8
    assert config.model.norm == "rms"
    assert config.optimizer.clip_norm is None
    assert repr(config.optimizer.beta1) == "0.0"


def test_blocks_of_a_name_are_set_where_the_config_says_nothing_of_them():
    config = load(
        "copy.py:mixer=global",
        model__blocks="None",
        model__blocks__global__mlp="gelu",
        model__blocks__global__mlp_expansion="3",
        model__blocks__global__residual="false",
    )
    wide = {"mlp": "gelu", "mlp_expansion": 3, "residual": False}
    assert to_dict(config.model.blocks) == {"global": wide}
    build_experiment(config)
    two_sided = ConfigDict(to_dict(resolved(SHORT))).lock()
    override(two_sided, "model.decoder.blocks.one.norm", "rms", settable)
    assert to_dict(two_sided.model.decoder.blocks) == {"one": {"norm": "rms"}}
    assert two_sided.model.encoder.blocks is None


def test_another_kind_brings_its_own_keys():
    config = load(
        "memory.py:mixer=global",
        model__mixers__global__kind="convolution",
        model__mixers__global__kernel="3",
        task__kind="needle",
        task__distance="4",
    )
    assert config.model.mixers["global"].kernel == 3
    assert "heads" not in config.model.mixers["global"]
    assert config.task.distance == 4
    build_experiment(config)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("train.trunkate", "16", "'train.trunkate' does not exist; did you mean 'train.truncate'?"),
        ("train.window", "8", "'train.window' does not exist; did you mean 'model.mixers.global.w"),
        (
            "model.blocks.globl.norm",
            "rms",
            "'model.blocks.globl.norm' does not exist; did you mean 'model.blocks.global.norm'?",
        ),
        (
            "model.blocks.global.rezidual",
            "rms",
            "'model.blocks.global.rezidual' does not exist; did you mean 'model.blocks.global.re",
        ),
        ("model.blocks.global.residual", "1", "model.blocks.global.residual=1: wants bool (now T"),
        ("model.blocks.global", "1", "'model.blocks.global' is a section; set one of model.blocks"),
        ("train.accumulate", "1.5", "train.accumulate=1.5: wants int (now 1)"),
        ("model.mixers.global.causal", "2", "model.mixers.global.causal=2: wants bool (now True)"),
        (
            "model.mixers.global",
            "2",
            "'model.mixers.global' is a section; set one of model.",
        ),
    ],
)
def test_what_the_schema_lacks_is_refused(key, text, message):
    with pytest.raises(ConfigError) as caught:
        load("copy.py:mixer=global", **{key.replace(".", "__"): text})
    assert str(caught.value).startswith(f"config key {message}")


def test_a_folder_has_every_key_and_what_was_decided(tmp_path):
    run = Workdir(tmp_path)
    run.open_for(SHORT, {"devices": 2})
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored.pop("decided") == {"devices": 2}
    assert stored == to_dict(resolved(SHORT))
    run.open_for(SHORT, {"devices": 3})
    for forms in ({"a": ["x"]}, {"a": ["y", "x"], "b": ["z"]}):  # as other lengths or machines take
        run.note_forms(forms)
    decided = {"devices": 2, "forms": {"a": ["x", "y"], "b": ["z"]}}
    assert json.loads((tmp_path / "config.json").read_text()) == {**stored, "decided": decided}
    assert to_dict(run.config()) == stored
    run.open_for(SHORT)


def test_a_run_decides_its_devices_and_kernels_with_a_centre():
    plain, centred = (
        load("digits.py:mixer=global", model__short_convolution=kernel) for kernel in ("None", "4")
    )
    mesh = make_mesh(1)
    assert decided(build_experiment(plain), mesh) == {"devices": 1}
    assert decided(build_experiment(centred), mesh) == {
        "devices": 1,
        "short_convolution": {"global": 5},
    }
