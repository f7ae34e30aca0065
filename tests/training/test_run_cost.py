"""What a run says of its cost, and of the machine that it ran on."""

import jax
import pytest

from seqmodels.training import progress
from seqmodels.training import run_cost as costs
from seqmodels.training.experiment import build_experiment
from seqmodels.training.programs import Programs
from seqmodels.training.progress import Pace
from seqmodels.training.resolving import load_whole
from seqmodels.training.run_cost import machine, run_cost, streaming_seconds
from seqmodels.training.sharding import make_mesh
from tests.command_line import ROOT, tiny_config


def test_the_median_step_knows_no_pauses(monkeypatch):
    times = iter([0, 1, 3, 4, 104, 110, 111, 113, 115])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    pace = Pace()  # at 0
    assert pace.median() is None
    for _ in range(2):
        pace.add(8)  # at 1 and 3
    with pace.paused():  # from 4 to 104
        pass
    for _ in range(4):
        pace.add(8)  # at 110, 111, 113 and 115
    assert pace.median() == 2


@pytest.mark.slow
def test_a_row_is_read_and_goes_on_where_the_model_streams():
    """Tokens and features; one that looks both ways has nothing to measure."""
    for spec, overrides in SPECS.items():
        experiment = build_experiment(load_whole(f"{ROOT}/{spec}", overrides).config)
        params = jax.jit(experiment.model.init)(jax.random.key(0))
        for measured in streaming_seconds(experiment, params):
            assert (measured is not None) == experiment.model.facts.streams == ("conv" not in spec)
            assert measured is None or 0 < measured < 1


SMALL = [("model.width", "8"), ("model.depth", "1")]
SPECS = {
    "configs/copy.py:mixer=gru,length=8": [*SMALL, ("task.pattern", "2")],
    "configs/digits.py:mixer=gru": [*SMALL, ("model.pooling", "last")],
    "configs/digits.py:mixer=conv": [("model.width", "8")],
}


def test_a_machine_is_told_by_what_times_depend_on():
    found = machine(make_mesh(1), sharing=2)
    assert found["devices"].startswith("1 cpu:")
    assert found["cores"] >= 1
    assert found["sharing"] == 2
    assert found["processor"]


@pytest.mark.parametrize(
    ("wanted", "seconds", "measured"),
    [(None, 59.0, None), (None, 60.0, 0.5), (True, 1.0, 0.5), (False, 600.0, None)],
)
def test_a_position_is_measured_where_its_compilation_does_not_count(
    monkeypatch, wanted, seconds, measured
):
    monkeypatch.setattr(costs, "streaming_seconds", lambda *_: costs.Streamed(0.7, 0.5))
    config = tiny_config()
    config.train.decode_step = wanted
    experiment, mesh = build_experiment(config), make_mesh(1)
    found = run_cost(experiment, Programs(experiment, mesh), Pace(), {}, mesh, 1, seconds)
    assert found["decode_seconds"] == measured
    assert found["prefill_seconds"] == (None if measured is None else 0.7)
    assert (found["step_seconds"], found["step_bytes"]) == (None, None), "it did no step"


def test_it_is_set_on_the_command_line():
    spec = f"{ROOT}/configs/copy.py:mixer=gru"
    assert load_whole(spec).config.train.decode_step is None
    for text, value in (("True", True), ("False", False), ("None", None)):
        assert load_whole(spec, [("train.decode_step", text)]).config.train.decode_step is value
