"""Widths that bring models of different mixers to one size."""

from pathlib import Path
from unittest.mock import patch

import pytest

from seqmodels.errors import ConfigError, UserError
from seqmodels.model import build_model, count_parameters
from seqmodels.sweeps import matching
from seqmodels.sweeps.matching import Match, Size, match_width, read_match
from seqmodels.training.experiment import build_experiment
from seqmodels.training.resolving import load_whole
from tests.soaking import soak_only

RECALL = str(Path(__file__).parents[2] / "configs/recall.py")
SIZES = {}


def measure(experiment, of=matching.measure):
    """The size of a model, measured once."""
    model = experiment.model
    if id(model) not in SIZES:
        SIZES[id(model)] = model, of(experiment)
    return SIZES[id(model)][1]


@pytest.fixture(autouse=True, scope="module")
def builds_once():
    """A model that several tests look at is built once."""
    models = {}

    def build(section, spec, length=1):
        key = repr((sorted(section.items()), spec, length))
        if key not in models:
            models[key] = build_model(section, spec, length)
        return models[key]

    with patch.object(matching, "build_model", build), patch.object(matching, "measure", measure):
        yield


def load(mixer: str):
    config = load_whole(f"{RECALL}:mixer={mixer}").config
    return config, build_experiment(config)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mixer", "by", "target"),
    [
        *[(mixer, "parameters", 108e3) for mixer in ("lstm", "transformer")],
        soak_only("conv", "parameters", 108e3),
        ("local", "flops", 30e6),
        soak_only("rnn", "flops", 30e6),
    ],
)
def test_models_are_brought_to_one_size(mixer, by, target):
    config, experiment = load(mixer)
    width = match_width(experiment, config, Match(by, target), mixer)
    config.model.width = width
    matched = build_experiment(config)
    size = count_parameters(matched.model) if by == "parameters" else matched.cost().flops
    assert size == pytest.approx(target, rel=0.03)
    # Of the widths beside it none is nearer that the model accepts.
    for other in (width - 8, width - 1, width + 1, width + 8):
        section = dict(config.model.items()) | {"width": other}
        try:
            other_model = matching.build_model(section, experiment.task.spec, 64)
        except ConfigError:
            continue
        measured = measure(experiment._replace(model=other_model))
        value = measured.parameters if by == "parameters" else measured.flops
        assert abs(value - target) > abs(size - target)


@pytest.mark.slow
@pytest.mark.parametrize(("mixer", "width"), [("lstm", 125), ("gru", 250), ("local", 8)])
def test_states_are_brought_to_one_size(mixer, width):
    """2 blocks of float32: 2 D an LSTM, D a GRU, 2 * 15 D of a window of 16."""
    config, experiment = load(mixer)
    target = {"local": 2.0 * 30 * 8 * 4}.get(mixer, 2000.0)
    assert match_width(experiment, config, Match("state", target), mixer) == width


@pytest.mark.slow
def test_a_mixer_that_can_not_be_matched_is_named():
    config, experiment = load("global")
    with pytest.raises(ConfigError) as caught:
        match_width(experiment, config, Match("parameters", 100e3), "mixer=global")
    assert str(caught.value) == (
        "mixer=global: no width brings it to parameters=100,000 within 3%; the nearest that it "
        "accepts: width 80 has 93,536, width 88 has 108,496"
    )


def test_of_all_widths_that_meet_the_target_the_nearest_counts(monkeypatch):
    """A measure that rises and falls with the width meets the target twice."""
    config, experiment = load("rnn")
    monkeypatch.setattr(matching, "build_model", lambda section, spec, length: section["width"])
    for near, far in ((100, 1100), (1100, 100)):
        # 1,000 at both; the other one only by steps of 16 widths, which miss it.
        def hill(experiment, far=far):
            width = experiment.model
            width = width if abs(width - far) > 50 else width // 16 * 16 + 15
            return Size(round((width - 100) * (1100 - width) + 1_000_000), 0.0, 0)

        monkeypatch.setattr(matching, "measure", hill)
        found = match_width(experiment, config, Match("parameters", 1_000_000.0), "rnn")
        assert found == near, far


@pytest.mark.slow
def test_a_model_without_a_state_can_not_be_matched_by_it():
    config = load_whole(str(Path(RECALL).with_name("digits.py")) + ":mixer=conv").config
    with pytest.raises(ConfigError, match="no width brings it to state=1,000"):
        match_width(build_experiment(config), config, Match("state", 1000.0), "mixer=conv")


@pytest.mark.parametrize(
    ("by", "target", "message"),
    [
        ("parameters", None, "match=parameters takes target=NUMBER above 0"),
        ("state", 0.0, "above 0"),
        (None, 5.0, "known: flops, parameters, seconds, state"),
        ("parameter", 5.0, "did you mean 'parameters'"),
    ],
)
def test_flags_that_do_not_fit_are_refused(by, target, message):
    with pytest.raises(UserError, match=message):
        read_match(by, target)
    assert read_match(None, None) is None
