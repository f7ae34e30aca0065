"""What is found in folders and what is left out by name; how unfinished runs are shown."""

import json
import os
from pathlib import Path

import pytest

from seqmodels.errors import UserError
from seqmodels.experiments.report.comparison import HIGHER_IS_BETTER, SCORES, comparisons, score_of
from seqmodels.experiments.report.reading import find
from seqmodels.tasks import TASKS
from tests.experiments.report.folders import (
    run_folder,
    scaling_folder,
    sweep_folder,
    write_json,
)
from tests.tasks.test_tasks import make


def found(*folders: Path):
    """What lies in the folders, and the warnings."""
    warnings: list[str] = []
    return find([str(folder) for folder in folders], warnings.append), warnings


def test_parents_are_searched_and_each_thing_is_counted_once(tmp_path):
    run = run_folder(tmp_path / "runs" / "deep" / "gru")
    sweep = sweep_folder(tmp_path / "sweeps" / "recall", ("gru",), (64,))
    scaling_folder(tmp_path / "scaling")
    (tmp_path / "link").symlink_to(run)
    trial = next((sweep / "trials").iterdir())
    everything, warnings = found(tmp_path, run, tmp_path / "link", trial, run.parent, sweep)
    assert [one.name for one in everything.runs] == ["gru"]
    assert [len(one.trials) for one in everything.sweeps] == [4]
    assert len(everything.scalings) == 1
    assert warnings == []


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such folder; name folders of runs or sweeps"):
        found(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: is no folder"):
        found(tmp_path / "file")


def test_folders_without_anything_are_refused(tmp_path):
    with pytest.raises(UserError, match="no run, sweep or scaling experiment that can be read"):
        found(tmp_path)


@pytest.mark.parametrize(
    "content", ['{"steps": 2', "[]", "{}", "\x00", '{"validation": 1}', "[" * 9999]
)
@pytest.mark.parametrize("name", ["results.json", "config.json"])
def test_a_run_that_can_not_be_read_is_named_and_the_rest_goes_on(tmp_path, name, content):
    run_folder(tmp_path / "good")
    bad = run_folder(tmp_path / "bad")
    (bad / name).write_text(content)
    everything, warnings = found(tmp_path)
    assert [one.name for one in everything.runs] == ["good"]
    (warning,) = warnings
    assert warning.startswith(f"{bad / name} is skipped: ")
    assert "\n" not in warning
    assert everything.skipped == warnings


@pytest.mark.parametrize("name", ["sweep.json", "summary.json", "trials/00000001/results.json"])
def test_a_sweep_with_a_file_cut_short(tmp_path, name):
    run_folder(tmp_path / "good")
    sweep = sweep_folder(tmp_path / "sweep", ("gru",), (64,))
    text = (sweep / name).read_text()
    (sweep / name).write_text(text[: len(text) // 2])
    everything, warnings = found(tmp_path)
    assert len(everything.runs) == 1
    assert [warning.split(" ")[0] for warning in warnings] == [str(sweep / name)]
    trials = [len(one.trials) for one in everything.sweeps]
    assert trials == {"sweep.json": [], "summary.json": [4]}.get(name, [3])


def test_metrics_cut_short_lose_their_last_line(tmp_path):
    run = run_folder(tmp_path / "run", finished=False)
    whole = found(run)[0].runs[0].events
    metrics = run / "metrics.jsonl"
    metrics.write_text(metrics.read_text()[:-20])
    everything, warnings = found(run)
    assert everything.runs[0].events == whole[:-1]
    assert warnings == []


def test_states(tmp_path):
    run_folder(tmp_path / "a-finished")
    run_folder(tmp_path / "b-half", finished=False)
    diverged = run_folder(tmp_path / "c-diverged", finished=False)
    with (diverged / "metrics.jsonl").open("a") as file:
        file.write('{"step": 120, "split": "train", "seconds": 9.0, "loss": NaN}\n')
    older = {"packages": {"jax": "0.1.2"}, "commit": "0" * 40}
    run_folder(tmp_path / "d-older", environment=older)
    states = [run.state for run in found(tmp_path)[0].runs]
    assert states[:3] == [
        ("finished",),
        ("unfinished: step 100 of 200",),
        ("failed: the loss stopped being finite by step 120",),
    ]
    assert states[3][0] == "finished"
    assert states[3][1].startswith("other version: jax 0.1.2, now ")
    assert "commit 0000000, now " in states[3][1]


def test_states_of_trials(tmp_path):
    states = {0: ("failed", "no memory"), 1: ("running", None), 2: ("waiting", None)}
    sweep = sweep_folder(tmp_path / "sweep", ("gru",), (64,), states=states)
    (everything,) = found(sweep)[0].sweeps
    assert [trial.state[0] for trial in everything.trials] == [
        "failed: no memory",
        "running: step 100 of 200",
        "waiting",
        "finished",
    ]


def test_a_trial_that_a_search_chose_is_found(tmp_path):
    sweep = sweep_folder(tmp_path / "sweep", ("gru",), (64,))
    content = json.loads((sweep / "sweep.json").read_text())
    content["points"] = content["points"][:1]
    write_json(sweep / "sweep.json", content)
    (everything,) = found(sweep)[0].sweeps
    assert len(everything.trials) == 4


def test_a_name_may_not_lead_out_of_the_sweep(tmp_path):
    run_folder(tmp_path / "secret")
    sweep = sweep_folder(tmp_path / "sweep", ("gru",), (64,))
    content = json.loads((sweep / "sweep.json").read_text())
    content["points"][0]["name"] = "../../secret"
    write_json(sweep / "sweep.json", content)
    (everything,) = found(sweep)[0].sweeps
    assert everything.trials[0].folder.parent == sweep / "trials"


def test_names_that_are_no_text_are_shown(tmp_path):
    folder = tmp_path / os.fsdecode(b"a\xffb")
    try:
        run_folder(folder)
    except OSError:
        pytest.skip("this file system has no such names")
    assert found(tmp_path)[0].runs[0].name == "a�b"


def test_seeds_are_put_together_and_other_differences_are_told(tmp_path):
    for seed in (0, 1):
        run_folder(tmp_path / f"gru-{seed}", "gru", seed, accuracy=0.5 + 0.2 * seed)
    slow = run_folder(tmp_path / "slow", "gru", accuracy=0.9)
    config = json.loads((slow / "config.json").read_text())
    config["optimizer"]["learning_rate"] = 0.0001
    write_json(slow / "config.json", config)
    (comparison,) = comparisons(found(tmp_path)[0])
    assert (comparison.score, comparison.higher_is_better) == ("accuracy", True)
    assert [(group.label, group.seeds) for group in comparison.groups] == [
        ("gru, optimizer.learning_rate=0.003", 2),
        ("gru, optimizer.learning_rate=0.0001", 1),
    ]
    first = comparison.groups[0].test
    assert (first.low, first.high) == (0.5, 0.7)
    assert first.mean == pytest.approx(0.6)
    assert first.deviation == pytest.approx(0.1 * 2**0.5)


def test_a_sweep_s_groups_are_those_of_its_summary(tmp_path):
    sweep_folder(tmp_path / "sweep", ("gru", "lstm"), (64, 128), accuracy=0.6)
    (comparison,) = comparisons(found(tmp_path)[0])
    groups = [(group.label, group.setting, group.length) for group in comparison.groups]
    assert groups == [
        ("gru", "length 64", 64),
        ("gru", "length 128", 128),
        ("lstm", "length 64", 64),
        ("lstm", "length 128", 128),
    ]
    for group in comparison.groups:
        rates = [run.trial["overrides"]["optimizer.learning_rate"] for run in group.runs]
        assert rates == [0.003, 0.003], "the chosen learning rate's runs, a seed each"


def test_a_score_is_what_the_run_noted(tmp_path, monkeypatch):
    """No task is built for it: not its data, nor what its settings name."""
    monkeypatch.setattr("seqmodels.tasks.TASKS", None)
    noted = {"score": "own", "higher_is_better": False}
    for name, facts in (("a", noted), ("b", {"score": 3}), ("c", None)):
        run_folder(tmp_path / name, task={"kind": "recall"})
        if facts is not None:
            write_json(tmp_path / name / "facts.json", facts)
    runs = {run.name: run for run in find([str(tmp_path)], pytest.fail).runs}
    assert score_of(runs["a"]) == ("own", False)
    assert score_of(runs["b"]) == score_of(runs["c"]) == ("accuracy", True)


def test_scores_of_older_runs_are_those_of_their_tasks(own_files, monkeypatch):
    monkeypatch.chdir(own_files)
    for kind in TASKS:
        spec = make(kind).spec
        assert SCORES.get(kind, "accuracy") == spec.score, kind
        assert (spec.score in HIGHER_IS_BETTER) == spec.higher_is_better
