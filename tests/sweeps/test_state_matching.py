"""Widths and settings that bring models to one size and one state."""

from pathlib import Path

import pytest
from flax import nnx

from seqmodels.config import override
from seqmodels.errors import ConfigError, UserError
from seqmodels.mixers import MIXERS
from seqmodels.sweeps import state_matching
from seqmodels.sweeps.matching import Match, Size, measure, read_match
from seqmodels.sweeps.state_matching import match_both
from seqmodels.training.experiment import build_experiment
from seqmodels.training.resolving import load_whole, resolved

RECALL = str(Path(__file__).parents[2] / "configs/recall.py")
WHOLE = [kind for kind, mixer in MIXERS.items() if mixer.state_settings]


def load(mixer: str, **changes):
    config = load_whole(f"{RECALL}:mixer={mixer}").config
    for key, value in changes.items():
        override(config, f"model.mixers.{mixer}.{key}", str(value))
    return config, build_experiment(config)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_mixers_setting_changes_its_state(kind):
    model = {"width": 32, "depth": 1, "pattern": (kind,), "mixers": {kind: {"kind": kind}}}
    section = dict(resolved({"model": model}).model.mixers[kind])
    name = next(
        (s for s in MIXERS[kind].state_settings if section[s]), MIXERS[kind].state_settings[-1]
    )
    del section["kind"]

    def state_bytes(steps: int) -> int:
        value = steps / 4 if isinstance(section[name], float) else 4 * steps
        if name == "kv_heads":
            value = steps
        given = section | {name: value}
        made = nnx.eval_shape(lambda: MIXERS[kind](32, **given, rngs=nnx.Rngs(0)))
        return made.state_bytes(16)

    assert state_bytes(2) > state_bytes(1) > 0


def test_of_a_model_that_reads_and_writes_what_writes_has_the_state():
    config = load_whole(RECALL.replace("recall.py", "reverse.py:mixer=transformer")).config
    (key,) = state_matching._settings(config, "reverse")
    assert key.startswith("model.decoder.mixers.one.")
    override(config, key, "1")


@pytest.mark.slow
def test_a_model_is_brought_to_both():
    """Of 2 blocks of float32, a state of 100 features that are no whole share of any width."""
    config, experiment = load("mingru")
    parameters, state = 108e3, 2 * 4 * 100.0
    values = match_both(experiment, config, Match("parameters", parameters, state), "mingru")
    for key, value in values.items():
        override(config, key, str(value))
    size = measure(build_experiment(config))
    assert size.parameters == pytest.approx(parameters, rel=0.03)
    assert size.state_bytes == pytest.approx(state, rel=0.03)


@pytest.mark.slow
def test_what_can_not_be_brought_to_both_is_told_the_nearest():
    config, experiment = load("gru")
    with pytest.raises(ConfigError) as caught:
        match_both(experiment, config, Match("parameters", 108e3, 9999.0), "mixer=gru")
    assert str(caught.value) == (
        "mixer=gru: nothing brings it to parameters=108,000 and state=9,999 within 3%; at "
        "model.width=76, the nearest, they are 109,544 and 608: no setting of its mixers changes "
        "the state; match one of the two"
    )
    config, experiment = load("hybrid")
    with pytest.raises(
        ConfigError, match=r"several settings, model.mixers.global.kv_heads, .*window"
    ):
        match_both(experiment, config, Match("parameters", 108e3, 9999.0), "mixer=hybrid")


@pytest.mark.slow
def test_a_grid_of_whole_numbers_is_searched_the_same_way_each_time(monkeypatch):
    """A model that accepts multiples of 4 alone, in both."""
    config, experiment = load("mamba2")

    def build(section, spec, length):
        width, states = section["width"], section["mixers"]["mamba2"]["state_size"]
        if width % 4 or states % 4:
            raise ConfigError("no multiple of 4")
        return width, states

    def sized(experiment):
        width, states = experiment.model
        return Size(10 * width**2 + 3 * width * states, 0.0, 8 * width * states + 16)

    monkeypatch.setattr(state_matching, "build_model", build)
    monkeypatch.setattr(state_matching, "measure", sized)
    wanted = Match("parameters", 10 * 100**2 + 3 * 100 * 52.0, 8 * 100 * 52 + 16.0)
    for _ in range(2):
        assert match_both(experiment, config, wanted, "x") == {
            "model.width": 100,
            "model.mixers.mamba2.state_size": 52,
        }


def test_two_targets_are_read():
    assert read_match("parameters,state", "108000,16384") == Match("parameters", 108e3, 16384.0)
    for by, target in (("parameters,state", "5"), ("state,parameters", "5,5"), ("parameters", "x")):
        with pytest.raises(UserError, match="match="):
            read_match(by, target)
