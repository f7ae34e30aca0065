"""train.py --profile: a trace of the steps asked for, and a run that ends as without it."""

import gzip
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from seqmodels.training.batches import Batches
from seqmodels.training.fit import fit
from seqmodels.training.profiling import StepTrace
from tests.command_line import tiny_config

pytestmark = pytest.mark.slow


def train(folder: Path, profile_steps: int = 0) -> dict:
    config = tiny_config(steps=12, evaluate_every=6)
    config.task.evaluation_examples = 16
    return fit(config, folder, profile_steps=profile_steps)


def trace_in(folder: Path) -> Path:
    """The one trace of a run's folder."""
    (trace,) = (folder / "profile").rglob("perfetto_trace.json.gz")
    assert b"traceEvents" in gzip.decompress(trace.read_bytes())
    return trace


def test_traces_steps_and_says_how_to_open_them(tmp_path, capsys):
    """The steps of this process: those after step 6, where the run is continued."""
    plain = train(tmp_path / "plain")
    assert not (tmp_path / "plain/profile").exists(), "no trace without being asked"

    folder = Path(shutil.copytree(tmp_path / "plain", tmp_path / "traced"))
    shutil.rmtree(folder / "checkpoints/12")
    (folder / "results.json").unlink()
    capsys.readouterr()
    traced = train(folder, 2)
    shown = capsys.readouterr().out
    assert traced["test"] == plain["test"]
    assert "continuing from step 6 in" in shown
    assert "traces nothing" not in shown
    shown = "".join(shown.split())
    assert "steps9to10aretraced" in shown
    assert str(trace_in(folder)) in shown

    (folder / "results.json").unlink()
    train(folder, 5)
    shown = capsys.readouterr().out
    assert "warning: profile=5 traces nothing: the first 2 steps of a process are" in shown
    assert "this one has 0 to do" in shown


@pytest.mark.parametrize(("steps", "first", "last"), [(2, 3, 4), (100, 3, 12)])
def test_a_trace_ends_with_the_run_at_the_latest(tmp_path, steps, first, last):
    batches = Batches(lambda step: step, range(0))
    batches.waited = 7.0  # before the trace
    said, warnings = {}, []
    trace = StepTrace(tmp_path / "profile", 0, steps, 12, batches, warnings.append)
    for step in range(12):
        trace.before(step)
        if step == 5:
            batches.waited += 0.25
        said[step + 1] = trace.after(step + 1, np.zeros(1))
    assert [step for step, message in said.items() if message] == [last]
    who = "the batches waited for the steps" if last < 5 else (
        "the steps waited 0.25 s for batches, which 0 threads made"
    )  # fmt: skip
    how = rf"steps {first} to {last} are traced: of \d+\.\d\d s {who}; open {trace_in(tmp_path)} "
    assert re.match(how, said[last])
    trace.close()
    assert not warnings


@pytest.mark.parametrize("broken", ["start_trace", "stop_trace"])
def test_a_trace_that_can_not_be_written_is_said(tmp_path, monkeypatch, broken):
    def full(*_, **__) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jax.profiler, "start_trace", lambda *_, **__: None)
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: None)
    monkeypatch.setattr(jax.profiler, broken, full)
    said = []
    for last in (12, 3):  # it ends by itself, or with the run
        batches = Batches(lambda step: step, range(0))
        trace = StepTrace(tmp_path, 0, 2, 12, batches, said.append)
        for step in range(last):
            trace.before(step)
            trace.after(step + 1, np.zeros(1))
        trace.close()
    missing = "no steps are traced" if broken == "start_trace" else "the trace can't be written"
    assert said == [f"{missing} (No space left on device)"] * 2
