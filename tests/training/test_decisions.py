"""How many steps a time is: measured once, and never again by a run that goes on."""

import pytest

from seqmodels.errors import ConfigError
from seqmodels.training import decisions
from seqmodels.training.decisions import TIMED, steps_within, with_its_steps
from seqmodels.training.devices import run_mesh
from seqmodels.training.experiment import build_experiment
from seqmodels.training.workdir import Workdir
from tests.command_line import tiny_config


class Steady:
    """A pace at which each step that is added takes an eighth of a second."""

    def __init__(self):
        self.steps = 0
        self.pauses = 0

    def add(self, tokens):
        self.steps += 1

    def paused(self):
        self.pauses += 1
        return self

    def __enter__(self):
        pass

    def __exit__(self, *_):
        pass

    def rates(self):
        assert (self.steps, self.pauses) == (TIMED, 1), "the first step and compiling count nothing"
        return {"steps_per_second": 8.0}


@pytest.mark.slow
def test_steps_follow_from_those_that_are_timed(monkeypatch, capsys):
    monkeypatch.setattr(decisions, "Pace", Steady)
    experiment = build_experiment(tiny_config())
    assert steps_within(3.2, experiment, run_mesh(experiment)) == 26
    assert capsys.readouterr().out == "20 steps take 2.5 s: train.seconds=3.2 is 26 steps\n"


@pytest.fixture
def timed(monkeypatch) -> list[float]:
    """The times that were measured, each 40 steps."""
    measured = []

    def measure(seconds, *_):
        measured.append(seconds)
        return 40

    monkeypatch.setattr(decisions, "steps_within", measure)
    return measured


def test_a_run_that_goes_on_has_the_steps_that_it_began_with(timed, tmp_path):
    config = tiny_config()
    with config.ignore_type():
        config.train.seconds = 2.0
    experiment, run = build_experiment(config), Workdir(tmp_path / "run")
    mesh = run_mesh(experiment, 1)
    begun = with_its_steps(experiment, config, run, mesh)
    assert (begun.train.steps, timed) == (40, [2.0])
    assert float(begun.optimizer.learning_rate(39)) == 0.0, "its last update's"
    run.open_for(config, decisions.decided(begun, mesh))
    again = with_its_steps(experiment, config, Workdir(tmp_path / "run"), mesh)
    assert (again.train.steps, timed) == (40, [2.0])
    assert decisions.decided(again, mesh) == {"devices": 1, "steps": 40}


def test_a_run_of_so_many_steps_decides_nothing(timed, tmp_path):
    experiment = build_experiment(tiny_config())
    mesh = run_mesh(experiment, 1)
    assert with_its_steps(experiment, tiny_config(), Workdir(tmp_path), mesh) is experiment
    assert (timed, decisions.decided(experiment, mesh)) == ([], {"devices": 1})


def test_a_warm_up_beyond_the_time_is_refused_before_anything_is_written(timed, tmp_path):
    config = tiny_config()
    with config.ignore_type():
        config.train.seconds, config.optimizer.warmup_steps = 2.0, 50
    experiment = build_experiment(config)
    said = r"^optimizer.warmup_steps=50 is not at least 0 and below train.steps=40; set optimizer.w"
    with pytest.raises(ConfigError, match=said):
        with_its_steps(experiment, config, Workdir(tmp_path / "run"), run_mesh(experiment, 1))
    assert not (tmp_path / "run").exists()
