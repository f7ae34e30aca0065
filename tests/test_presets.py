"""Presets: of about equal size, and all of them models."""

import itertools
from inspect import signature

import pytest

from seqmodels.errors import ConfigError
from seqmodels.mixers import MIXERS
from seqmodels.model import build_model, count_parameters
from seqmodels.presets import PRESETS, preset
from seqmodels.tasks.base import TaskSpec

DIGITS = TaskSpec("many-to-one", "features", 1, 10, False, "accuracy", True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters"), list(zip(PRESETS, itertools.cycle([100_000, 1_000_000]), strict=False))
)
def test_sizes_are_about_equal(name, parameters):
    config = preset(name, parameters=parameters, depth=2, causal=False, pooling="mean")
    count = count_parameters(build_model(config, DIGITS))
    assert abs(count / parameters - 1) < 0.12


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("causal", [True, False])
def test_causal_decides_for_every_mixer(name, causal):
    sizes = {"parameters": 10_000, "depth": 2, "causal": causal, "pooling": "last"}
    if name == "bidirectional":
        with pytest.raises(ConfigError, match="kind='bidirectional' sees later inputs"):
            build_model(preset(name, **sizes), DIGITS._replace(causal=True))
        return
    kinds = [MIXERS[mixer["kind"]] for mixer in preset(name, **sizes)["mixers"].values()]
    one_way = all("causal" not in signature(kind.__init__).parameters for kind in kinds)
    assert build_model(preset(name, **sizes), DIGITS).facts.causal == (causal or one_way)


@pytest.mark.slow
def test_filters_are_as_long_as_the_sequence():
    """And their parameters count: of the learned ones one a position and feature."""
    for name in ("long_convolution", "hyena"):
        sizes = {"parameters": 100_000, "depth": 2, "causal": True, "pooling": "mean"}
        config = preset(name, length=300, **sizes)
        assert {mixer["max_length"] for mixer in config["mixers"].values()} == {300}
        count = count_parameters(build_model(config, DIGITS, 300))
        assert abs(count / 100_000 - 1) < 0.12


def test_dilations_double():
    """As in Bai et al. 2018: five blocks see 1 + 2 * (1 + 2 + 4 + 8 + 16) positions."""
    config = preset("tcn", parameters=10_000, depth=5, causal=True, pooling="last")
    mixers = [config["mixers"][name] for name in config["pattern"]]
    assert [mixer.get("dilation", 1) for mixer in mixers] == [1, 2, 4, 8, 16]
    assert {mixer["kernel"] for mixer in mixers} == {3}


def test_griffin_has_two_recurrences_to_a_window_of_attention():
    config = preset("griffin", parameters=100_000, depth=2, causal=True, pooling=None)
    kinds = [config["mixers"][name]["kind"] for name in config["pattern"]]
    assert (config["depth"], kinds) == (3, ["rglru", "rglru", "attention"])
    assert config["mixers"]["local"]["window"] == 16


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_a_hybrid_has_each_of_its_mixers(depth):
    config = preset("hybrid", parameters=100_000, depth=depth, causal=True, pooling=None)
    assert config["depth"] == max(depth, 3)
    assert config["pattern"] == ("gru", "local", "global") == tuple(config["mixers"])


def test_changes_are_keys_of_the_model():
    sizes = {"parameters": 10_000, "depth": 2, "causal": True, "pooling": None}
    assert preset("gru", **sizes, dropout=0.1)["dropout"] == 0.1
    with pytest.raises(ConfigError) as raised:
        build_model(preset("gru", **sizes, dropuot=0.1), DIGITS)
    assert "model.dropuot=0.1 is never read by SequenceSettings; did you mean 'dropout'?" in str(
        raised.value
    )
    with pytest.raises(ConfigError) as raised:
        preset("gur", **sizes)
    assert "mixer='gur' is not a preset; did you mean 'gru'?" in str(raised.value)
