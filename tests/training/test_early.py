"""What ends a run before its last step, by the scores of its validations."""

import math

import pytest
from ml_collections import ConfigDict

from seqmodels.errors import ConfigError
from seqmodels.training.early import EarlyEnd
from seqmodels.training.experiment import build_experiment
from tests.command_line import tiny_config


def ends(scores, stop_at=None, patience=None, higher=True) -> list:
    """(which validation, what ended the run) of each that would."""
    early = EarlyEnd(stop_at, patience, higher)
    said = [(number, early.after(score)) for number, score in enumerate(scores)]
    return [(number, end) for number, end in said if end is not None]


@pytest.mark.parametrize(
    ("scores", "settings", "first"),
    [
        ([0.5, 0.8, 0.9], {"stop_at": 0.8}, (1, "stop_at")),
        ([3.0, 2.0, 1.0], {"stop_at": 2.0, "higher": False}, (1, "stop_at")),
        ([0.5, 0.6, 0.6, 0.6], {"patience": 2}, (3, "patience")),
        ([3.0, 2.0, 2.5, 1.0, 1.5], {"patience": 1, "higher": False}, (2, "patience")),
        ([0.5, math.nan, math.nan], {"patience": 2, "stop_at": 0.1}, (0, "stop_at")),
        ([math.nan, 0.5, math.nan, 0.4], {"patience": 2}, (3, "patience")),
        ([0.9, 0.8, 0.9], {"stop_at": 0.9, "patience": 2}, (0, "stop_at")),
    ],
)
def test_a_score_or_none_that_is_better_ends_a_run(scores, settings, first):
    assert ends(scores, **settings)[0] == first


def test_what_has_no_setting_never_ends():
    assert ends([0.5, 0.4, 0.3, 1.0]) == []
    assert ends([0.1, 0.2, 0.3, 0.4], patience=1) == []


def test_a_run_that_goes_on_knows_its_validations():
    """And none of another split."""
    scores = [0.5, 0.7, 0.6]
    events = [{"step": n, "split": "validation", "accuracy": s} for n, s in enumerate(scores)]
    events.insert(2, {"step": 2, "split": "train", "accuracy": 0.99})
    early = EarlyEnd(0.9, 2, True)
    assert early.after_all(events, "accuracy") is None
    assert early.after(0.7) == "patience"
    assert EarlyEnd(0.9, 1, True).after_all(events, "accuracy") == "patience"


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("stop_at", 98.0, r"^train.stop_at=98.0 is not above 0 and at most 1, as accuracy is a"),
        ("patience", 0, r"^train.patience=0 is below 1$"),
    ],
)
def test_what_would_never_be_reached_is_refused(setting, value, message):
    config: ConfigDict = tiny_config()
    with config.ignore_type():
        config.train[setting] = value
    with pytest.raises(ConfigError, match=message):
        build_experiment(config)
