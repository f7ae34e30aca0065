"""What a folder that holds no run with a checkpoint says, and what is kept of what was found."""

import json
from pathlib import Path

import pytest

from seqmodels.errors import UserError
from seqmodels.evaluation.runs import _settings, keep, load
from seqmodels.training.mesh import MeshSettings
from tests.report.folders import run_folder, scaling_folder, sweep_folder


def refused(folder):
    with pytest.raises(UserError) as caught:
        load(folder, "best")
    message = str(caught.value)
    assert message.startswith(f"workdir={folder} holds ")
    assert "\n" not in message
    return message.removeprefix(f"workdir={folder} holds ")


def test_a_sweep_names_its_runs(tmp_path):
    folder = sweep_folder(tmp_path / "sweep", ("gru",), (64,), states={0: ("failed", None)})
    trials = sorted((folder / "trials").iterdir())
    for trial in trials:
        (trial / "checkpoints").mkdir()
    told = f"a sweep; name one of the 4 runs in it, such as workdir={trials[1]}, or compare them"
    assert refused(folder) == f"{told} all: seqmodels report {folder}"
    assert refused(tmp_path / "sweep" / "trials").startswith("no run of its own; name one of the 4")


def test_a_scaling_and_a_folder_of_runs_name_what_lies_in_them(tmp_path):
    folder = scaling_folder(tmp_path / "scaling")
    (folder / "config.json").write_text("{}")
    told = f"a scaling; compare what there is: seqmodels report {folder}"
    assert refused(folder) == told
    (folder / "scaling.json").unlink()
    (folder / "cells").mkdir()
    assert refused(folder) == told, "one that is still being measured"
    run = run_folder(tmp_path / "runs" / "a")
    (run / "checkpoints").mkdir()
    assert f"one of the 1 runs in it, such as workdir={run}, or" in refused(tmp_path / "runs")
    assert refused(tmp_path / "nowhere") == "no run (no config.json); train first"


@pytest.mark.parametrize("has_folder", [False, True])
def test_a_run_that_has_saved_nothing_says_so(tmp_path, has_folder):
    run = run_folder(tmp_path / "run", finished=False)
    if has_folder:
        (run / "checkpoints").mkdir()
    assert refused(run).startswith("a run that has saved nothing yet; train on first, by the comm")


def test_a_run_s_mesh_is_taken_where_there_are_devices_for_it(capsys):
    """And rows alone are shared, with a line, where there are not; what is asked for has the last
    word.
    """
    trained, rows = MeshSettings(sequence=2, model=2), MeshSettings()
    for devices, taken in ((None, trained), (4, trained), (8, trained), (1, rows), (6, rows)):
        assert _settings(trained, devices, None) == taken
        said = f"mesh data=-1,sequence=2,model=2 doesn't go with {devices} devices"
        assert (said in capsys.readouterr().err) == (taken == rows)
    assert _settings(MeshSettings(sequence=16), None, None) == rows, "there are eight"
    assert _settings(trained, 4, "model=4") == MeshSettings(model=4)


def test_what_can_not_be_kept_is_said(tmp_path, capsys):
    def fail():
        raise UserError("x/evaluations.json can't be written (Permission denied)")

    assert not keep(fail)
    assert not keep(lambda: Path("/proc/nothing").write_text(""))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("(Permission denied); what is printed here is kept nowhere")
    assert len(lines) == 2
    assert keep(lambda: (tmp_path / "x.json").write_text(json.dumps([])))
