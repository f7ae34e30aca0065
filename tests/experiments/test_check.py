"""make check-results: what is run again is held against what is committed."""

import json
from typing import NamedTuple

import pytest

from experiments import again
from experiments.checks import Costs, Training, call
from seqmodels.errors import UserError
from seqmodels.json_files import listed_lines
from seqmodels.sweeps.records import collect
from tests.command_line import call as call_program
from tests.sweeps.finished import finished_sweep


class Said(NamedTuple):
    """A check whose runs are known."""

    now: tuple[float, ...]
    said: str = "a cell"

    def run(self, folder, file):
        file.write_text(json.dumps(self.now))

    def values(self, file):
        return json.loads(file.read_text())

    def allowed(self, committed):
        return min(committed), max(committed)


def test_all_are_run_and_what_is_outside_is_one_line(tmp_path, capsys):
    found = {"good": Said((0.5, 0.6)), "bad": Said((0.5, 0.9))}
    committed = dict.fromkeys(found, tmp_path / "check.json")
    committed["good"].write_text("[0.4, 0.7]")
    files = {name: tmp_path / f"{name}.json" for name in found}
    again.run_all(found, files)
    with pytest.raises(UserError, match=r"^bad has 0.9, allowed 0.4 to 0.7$"):
        again.report(found, committed, files)
    lines = capsys.readouterr().out
    assert "0.500, 0.600" in lines
    again.report({"good": found["good"]}, committed, files)


def test_a_check_reads_what_it_writes(tmp_path):
    """The test scores of runs; the ratios of costs."""
    sweep = finished_sweep(tmp_path / "sweep", {"mixer=gru": [(0.01, s, 0.9) for s in range(3)]})
    collect(sweep, tmp_path / "check.json")
    assert Training("").values(tmp_path / "check.json") == pytest.approx([0.8] * 3)
    (tmp_path / "costs.json").write_text(listed_lines(['{"seed": 0, "value": 2.5}']))
    assert Costs("", "", 0).values(tmp_path / "costs.json") == [2.5]


def test_a_script_that_fails_is_one_line():
    with pytest.raises(UserError, match=r"^-c .*: it is wrong$"):
        call("-c", "import sys; print('first'); sys.exit('it is wrong')")


def test_an_experiment_without_check_runs_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(again, "checks", lambda names: dict.fromkeys(names))
    code, _, errors = call_program("experiments/check.py", "nowhere")
    said = "nowhere: no check.json; python -m experiments.check --keep makes it"
    assert (code, errors) == (2, f"experiments/check.py: {said}\n")


def test_a_name_that_is_none_is_one_line():
    code, _, errors = call_program("experiments/check.py", "lru_cpy")
    assert code == 2
    assert "'lru_cpy' is no experiment with a check cell; did you mean 'lru_copy'?" in errors
