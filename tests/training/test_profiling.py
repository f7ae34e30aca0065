"""train.py --profile: a trace of the steps asked for, and a run that ends as without it."""

import gzip

import pytest

from seqmodels.training.fit import fit
from tests.command_line import tiny_config

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("steps", "first", "last"), [(2, 3, 4), (100, 3, 12)])
def test_traces_steps_and_says_how_to_open_them(tmp_path, capsys, steps, first, last):
    plain = fit(tiny_config(steps=12, evaluate_every=4), tmp_path / "plain")
    traced = fit(tiny_config(steps=12, evaluate_every=4), tmp_path / "traced", profile_steps=steps)
    assert traced["test"] == plain["test"]
    (trace,) = (tmp_path / "traced" / "profile").rglob("perfetto_trace.json.gz")
    assert b"traceEvents" in gzip.decompress(trace.read_bytes())
    shown = "".join(capsys.readouterr().out.split())
    assert f"steps{first}to{last}aretraced" in shown
    assert str(trace) in shown


def test_no_trace_without_being_asked(tmp_path):
    fit(tiny_config(steps=12, evaluate_every=4), tmp_path)
    assert not (tmp_path / "profile").exists()


def test_a_run_that_is_too_short_for_a_trace_says_so(tmp_path, capsys):
    fit(tiny_config(steps=12, evaluate_every=4), tmp_path, profile_steps=5)
    assert "traces nothing" not in capsys.readouterr().out
    (tmp_path / "results.json").unlink()
    fit(tiny_config(steps=12, evaluate_every=4), tmp_path, profile_steps=5)
    shown = capsys.readouterr().out
    assert "warning: --profile=5 traces nothing: the first 2 steps of a process are" in shown
    assert "this one has 0 to do" in shown
