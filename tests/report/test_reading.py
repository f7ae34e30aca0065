"""What is found in folders and what is left out by name; how unfinished runs are shown."""

import json
import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from seqmodels.config import to_dict
from seqmodels.errors import UserError
from seqmodels.report import reading
from seqmodels.report.comparison import comparisons, names_of
from seqmodels.report.comparison_section import comparison_section
from seqmodels.report.figure import Axis, Mark
from seqmodels.report.reading import find
from seqmodels.report.recipes import run_recipe
from seqmodels.report.styles import Styles
from seqmodels.report.writing import report_sections
from seqmodels.training.environment import versions
from seqmodels.training.resolving import resolved
from tests.report.folders import (
    run_folder,
    scaling_folder,
    sweep_folder,
    write_json,
)


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


def test_a_run_that_was_put_among_a_sweep_s_is_said(tmp_path):
    sweep = sweep_folder(tmp_path / "sweep", ("gru",), (64,))
    mine = run_folder(sweep / "trials" / "mine")
    everything, warnings = found(sweep)
    assert ([len(one.trials) for one in everything.sweeps], everything.runs) == ([4], [])
    assert warnings == [f"{mine} is no run of the sweep, and is left out; name it too to see it"]
    everything, warnings = found(sweep, mine)
    assert ([one.name for one in everything.runs], warnings) == (["mine"], [])


def test_a_scaling_without_a_table_is_said(tmp_path):
    """One that is being measured, or was killed."""
    run_folder(tmp_path / "run")
    folder = scaling_folder(tmp_path / "scaling")
    (folder / "scaling.json").unlink()
    write_json(folder / "config.json", {"mixers": ["gru"]})
    (folder / "cells").mkdir(exist_ok=True)
    _, warnings = found(tmp_path)
    assert warnings == [f"{folder} holds a scaling that is not done; its command goes on with it"]


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such folder; name folders of runs or sweeps"):
        found(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"x: no such folder; name folders of runs or sweeps"):
        found(Path("x" * 5000))
    with pytest.raises(UserError, match="file: is no folder"):
        found(tmp_path / "file")


def test_folders_without_anything_are_refused(tmp_path):
    with pytest.raises(UserError, match="no run, sweep or scaling experiment that can be read"):
        found(tmp_path)


NO_OBJECTS = ("[" * 9999, "[]", "")


def everything_but(tmp_path: Path, file: Path, contents: Sequence[str]) -> list[list[int]]:
    """How many runs, trials, cells and rows are shown with each content of a file.

    Each time a page is made, and one line names the file.
    """
    shown = []
    for content in contents:
        file.write_text(content)
        everything, warnings = found(tmp_path)
        assert [warning.split(" ")[0].rstrip(",:") for warning in warnings] == [str(file)], content
        assert everything.skipped == warnings
        assert "\n" not in warnings[0]
        assert shown or report_sections(everything, Styles()), "once a file"
        trials = sum(len(sweep.trials) for sweep in everything.sweeps)
        cells = sum(len(scaling.content["cells"]) for scaling in everything.scalings)
        rows = sum(len(sweep.summary) for sweep in everything.sweeps)
        shown.append([len(everything.runs), trials, cells, rows])
    return shown


@pytest.fixture
def one_of_each(tmp_path, monkeypatch):
    """Two runs, a sweep of four and a scaling of six cells; what runs here is looked up once."""
    now = versions()
    monkeypatch.setattr(reading, "versions", lambda: now)
    run_folder(tmp_path / "good")
    run_folder(tmp_path / "run", "lstm")
    write_json(tmp_path / "run/lengths.json", LENGTHS)
    sweep_folder(tmp_path / "sweep", ("gru",), (64,))
    scaling_folder(tmp_path / "scaling", (256, 512))
    return tmp_path


LENGTHS = {
    "200": {
        "test": {
            "64": {
                "metrics": {"accuracy": {"mean": 0.5, "low": 0.4, "high": 0.6, "examples": 9}},
                "slices": {},
            }
        }
    }
}
WITHOUT = {
    "run/config.json": [1, 4, 6, 1],
    "run/results.json": [1, 4, 6, 1],
    "run/environment.json": [2, 4, 6, 1],
    "run/lengths.json": [2, 4, 6, 1],
    "sweep/sweep.json": [2, 0, 6, 0],
    "sweep/summary.json": [2, 4, 6, 0],
    "sweep/trials/00000001/trial.json": [2, 3, 6, 1],
    "sweep/trials/00000001/results.json": [2, 3, 6, 1],
    "sweep/trials/00000001/config.json": [2, 3, 6, 1],
    "scaling/scaling.json": [2, 4, 0, 1],
}
"""What is shown of one_of_each where a file can't be read."""


@pytest.mark.parametrize("name", WITHOUT)
def test_a_file_that_can_not_be_read_costs_itself_alone(one_of_each, name):
    """A sweep's own file all of the sweep, and so on: what can't be shown without it."""
    contents = [text for text in NO_OBJECTS if "summary" not in name or text != "[]"]
    shown = everything_but(one_of_each, one_of_each / name, contents)
    assert shown == [WITHOUT[name]] * len(shown)


# Of each kind of file what has its form and holds something else.
OTHER_CONTENTS = {
    "run/config.json": ["{}", '{"seed": 0}', "CONFIG"],
    "run/results.json": ["{}", '{"validation": 1}'],
    "run/environment.json": ['{"packages": []}', '{"cores": 1e400}', '{"command": 5}'],
    "run/lengths.json": ['{"²": {}}', '{"2": {"test": {"64": {}}}}', '{"2": {"tset": {}}}'],
    "sweep/sweep.json": ["{}", '{"points": {}, "score": "x", "higher_is_better": true}'],
    "sweep/summary.json": ["[1]", '[{"arguments": 1}]'],
    "sweep/trials/00000001/trial.json": [
        '{"overrides": 1}',
        '{"state": []}',
        '{"seconds": "x"}',
        '{"size": {"flops": []}}',
    ],
    "scaling/scaling.json": ["{}", '{"cells": 1}'],
}


@pytest.mark.parametrize("name", OTHER_CONTENTS)
def test_a_file_that_holds_something_else_costs_itself_alone(one_of_each, name):
    config = json.loads((one_of_each / "run/config.json").read_text())
    config["train"]["length"] = "long"
    contents = [text.replace("CONFIG", json.dumps(config)) for text in OTHER_CONTENTS[name]]
    shown = everything_but(one_of_each, one_of_each / name, contents)
    assert shown == [WITHOUT[name]] * len(shown)


LISTS = ("quality", "fits", "crossovers", "longest")
KEYS = ("name", "arguments", "overrides", "mixer", "length", "status", "quantity")


@pytest.mark.parametrize(
    ("name", "part", "lost"),
    [
        ("sweep/sweep.json", "points", [0, 1, 0, 0]),
        ("scaling/scaling.json", "cells", [0, 0, 1, 0]),
        *(("scaling/scaling.json", part, [0] * 4) for part in LISTS),
    ],
)
def test_of_many_entries_a_bad_one_costs_itself_alone(one_of_each, name, part, lost):
    content = json.loads((one_of_each / name).read_text())
    contents = []
    first, *others = content[part]
    for bad in (1, [], None, {}, *({k: v for k, v in first.items() if k != key} for key in KEYS)):
        if bad != first:
            contents.append(json.dumps(content | {part: [bad, *others]}))
    # Without it in the list, its folder's own trial.json tells of a trial.
    (one_of_each / "sweep/trials/00000000/trial.json").unlink()
    shown = everything_but(one_of_each, one_of_each / name, contents)
    whole = [2, 4, 6, 1]
    assert shown == [[a - b for a, b in zip(whole, lost, strict=True)]] * len(contents)


def test_lines_of_metrics_that_can_not_be_read_cost_themselves_alone(tmp_path):
    run = run_folder(tmp_path / "run")
    whole = found(run)[0].runs[0].events
    lines = (run / "metrics.jsonl").read_text().splitlines()
    bad = ["", "[]", "null", "{", '{"step": 1}', '{"step": -1, "split": "train", "seconds": 1}']
    bad += [lines[0].replace('"loss"', '"loss": [], "x"'), '{"a":' * 9999, lines[0] + "0"]
    (run / "metrics.jsonl").write_text("\n".join([lines[0], *bad, *lines[1:], ""]))
    everything, (warning,) = found(run)
    assert everything.runs[0].events == whole
    assert warning.startswith(f"{run}/metrics.jsonl, line 2, is cut short or no JSON (")
    assert warning.endswith(f"; so do {len(bad) - 1} other lines; the rest is shown")


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
    for name in ("../../secret", "..", ".", "", "/etc", "a\0b", 3):
        content["points"][0]["name"] = name
        write_json(sweep / "sweep.json", content)
        everything, (warning,) = found(sweep)
        assert warning.startswith(f"{sweep / 'sweep.json'}: a point holds something else: ")
        folders = [trial.folder for trial in everything.sweeps[0].trials]
        assert {folder.parent for folder in folders} == {sweep / "trials"}


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


def test_a_seed_that_was_run_again_is_one_seed(tmp_path):
    """A copy of a folder, or the same run on another machine: nothing differs but that."""
    for place, accuracy in (("a/gru", 0.5), ("b/gru", 0.6), ("c/gru", 0.7)):
        run_folder(tmp_path / place, "gru", int(place == "c/gru"), accuracy=accuracy)
    (comparison,) = comparisons(found(tmp_path)[0])
    (group,) = comparison.groups
    assert (group.seeds, group.trials, group.test.values) == (2, 3, [0.5, 0.7])
    assert names_of(group.runs) == ["a/gru", "b/gru", "c/gru"]


def test_a_sweep_s_groups_are_those_of_its_summary(tmp_path):
    sweep_folder(tmp_path / "sweep", ("gru", "lstm"), (64, 128), accuracy=0.6)
    (comparison,) = comparisons(found(tmp_path)[0])
    groups = [(group.label, group.setting.text, group.length) for group in comparison.groups]
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
    for name, facts in (("a", noted | {"batches": {}, "drawn_by": {}}), ("b", None)):
        run_folder(tmp_path / name, task={"kind": "recall"})
        if facts is not None:
            write_json(tmp_path / name / "facts.json", facts)
    runs = {run.name: run for run in find([str(tmp_path)], pytest.fail).runs}
    assert runs["a"].facts["score"] == "own"
    assert runs["b"].facts == {"score": "accuracy", "higher_is_better": True}


def test_a_mixer_is_what_was_asked_for(tmp_path):
    """As the run noted it; of one that didn't nothing is read from its command."""
    origin = {"file": "x.py", "arguments": {"mixer": "transformer"}, "overrides": {"seed": "1"}}
    noted = {"score": "accuracy", "higher_is_better": True, "batches": {}, "drawn_by": {}}
    for name in ("a", "b"):
        run_folder(tmp_path / name, "global")
    write_json(tmp_path / "a" / "facts.json", noted | {"origin": origin})
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    forms = {"decided": {"devices": 2, "forms": {"attention": ["blocked"]}}}
    write_json(tmp_path / "a" / "config.json", config | forms)
    a, b = find([str(tmp_path)], pytest.fail).runs
    assert (a.mixer, b.mixer) == ("transformer", "global")
    told = dict(run_recipe(a))
    assert (told["Config file"], told["Arguments"], told["Overrides"]) == (
        ("x.py", "mixer = transformer", "seed = 1")
    )
    assert told["Decided by the run"] == 'devices = 2\nforms = {"attention": ["blocked"]}'
    unknown = {"Config file", "Arguments", "Overrides", "Decided by the run"}
    assert not unknown & dict(run_recipe(b)).keys()


def test_a_config_that_leaves_out_defaults_is_the_one_that_states_them(tmp_path):
    """Runs of earlier versions are grouped with those whose config.json has every key."""
    for seed in (0, 1):
        folder = run_folder(tmp_path / str(seed), seed=seed)
    config = json.loads((folder / "config.json").read_text())
    whole = to_dict(resolved(config)) | {"decided": {"devices": 2}}
    assert len(whole["model"]) > len(config["model"])
    write_json(folder / "config.json", whole)
    (one,) = comparisons(find([str(tmp_path)], pytest.fail))
    (group,) = one.groups
    assert (group.label, group.seeds) == ("gru", 2)


def test_a_size_that_an_earlier_version_gave_to_all_settings_is_not_told(tmp_path):
    """What the runs say of themselves counts; with its parameters its FLOPs are not known."""
    folder = sweep_folder(tmp_path, ("gru",), (64,), seeds=(0,))
    (one,) = comparisons(found(tmp_path)[0])
    assert (one.groups[0].parameters, one.groups[0].flops) == (100_000, 64e8)
    assert ("Sized to match", "parameters, 100,000 for the first setting of each, within 3%") in (
        one.origin
    )
    for file in folder.glob("trials/*/results.json"):
        write_json(file, json.loads(file.read_text()) | {"parameters": 300_000})
    content = json.loads((folder / "sweep.json").read_text())
    content["match"]["widths"] = "each setting"
    write_json(folder / "sweep.json", content)
    (other,) = comparisons(found(tmp_path)[0])
    assert (other.groups[0].parameters, other.groups[0].flops) == (300_000, None)
    assert ("Sized to match", "parameters, 100,000 each, within 3%") in other.origin
    content["match"]["state"] = 16384.0
    write_json(folder / "sweep.json", content)
    (both,) = comparisons(found(tmp_path)[0])
    said = "parameters, 100,000 and state, 16,384 bytes each, within 3%"
    assert ("Sized to match", said) in both.origin


def test_a_command_on_the_page_has_no_password(tmp_path):
    folder = sweep_folder(tmp_path, ("gru",), (64,), seeds=(0,))
    content = json.loads((folder / "sweep.json").read_text())
    content["command"] = "python sweep.py --storage postgresql://me:sesame@host/x"
    write_json(folder / "sweep.json", content)
    (one,) = comparisons(found(tmp_path)[0])
    assert ("Command", "python sweep.py --storage postgresql://me:***@host/x") in one.origin


def test_times_are_joined_of_one_machine_alone(tmp_path):
    """Two seeds of each mixer; those of gru ran on two machines."""
    machine = {"processor": "A", "cores": 2, "devices": "2 cpu:cpu", "platform": "x", "sharing": 1}
    for place, (mixer, seed) in enumerate(product(("gru", "lstm"), (0, 1))):
        folder = tmp_path / f"{place}"
        run_folder(folder, mixer, seed, seconds=10.0 * (1 + place))
        results = json.loads((folder / "results.json").read_text())
        on = machine | ({"sharing": 2} if (mixer, seed) == ("gru", 1) else {})
        cost = {"step_seconds": 0.1, "step_bytes": 100 * place, "decode_seconds": None}
        results["cost"] = cost | {"state_bytes": 8, "machine": on}
        write_json(folder / "results.json", results)
    (comparison,) = comparisons(found(tmp_path)[0])
    gru, lstm = comparison.groups
    assert (gru.seconds, lstm.seconds) == (None, 35.0)
    assert gru.costs.values == {"step_bytes": 50, "state_bytes": 8}
    tokens = {"tokens_per_second": 64 * 64 / 0.1}
    assert lstm.costs.values == {"step_seconds": 0.1, "step_bytes": 250, "state_bytes": 8} | tokens
    assert gru.costs.machine == (
        "A, 2 cores, 2 cpu:cpu; or A, 2 cores, 2 cpu:cpu, 2 runs at a time"
    )
    section = comparison_section(comparison, Styles([]))
    (table, _) = section.tables
    assert [c.title for c in table.columns].count("machine") == 1


def test_a_sweep_s_curve_is_drawn(tmp_path):
    """By the key that was tuned; a value without a score has no point, an older summary none."""
    folder = sweep_folder(tmp_path / "sweep", ("gru", "lstm"), (64,))
    summary = json.loads((folder / "summary.json").read_text())

    def drawn() -> list:
        (comparison,) = comparisons(found(tmp_path)[0])
        figures = comparison_section(comparison, Styles(["gru", "lstm"])).figures
        return [figure for figure in figures if "validation-by" in figure.name]

    assert drawn() == []
    rungs = [(0.001, [0.4]), (0.003, [0.7, 0.71, 0.72]), (0.01, [])]
    points = [{"value": value, "validation": scores} for value, scores in rungs]
    summary[1]["curve"] = {"key": "optimizer.learning_rate", "points": points}
    write_json(folder / "summary.json", summary)
    (figure,) = drawn()
    assert figure.title == "Validation accuracy against learning rate"
    assert figure.x == Axis("learning rate", log=True)
    (lstm,) = figure.series
    assert lstm.name == "lstm"
    first, second = lstm.points
    assert first == Mark(0.001, 0.4, note="1 seed")
    margin = 4.302653 * 0.01 / 3**0.5
    assert (second.x, second.y) == (0.003, pytest.approx(0.71))
    assert (second.low, second.high) == pytest.approx((0.71 - margin, 0.71 + margin))
    assert second.seeds == (0.7, 0.71, 0.72)


def test_the_best_at_the_edge_of_a_grid_is_warned_of(tmp_path):
    """At the middle of three it is not."""
    folder = sweep_folder(tmp_path / "sweep", ("gru", "lstm"), (64,))
    summary = json.loads((folder / "summary.json").read_text())
    for row, scores in zip(summary, ((0.4, 0.6, 0.5), (0.4, 0.5, 0.6)), strict=True):
        rates = zip((0.001, 0.003, 0.01), scores, strict=True)
        points = [{"value": rate, "validation": [score]} for rate, score in rates]
        row["curve"] = {"key": "optimizer.learning_rate", "points": points}
    write_json(folder / "summary.json", summary)
    (comparison,) = comparisons(found(tmp_path)[0])
    section = comparison_section(comparison, Styles())
    warned = [one.text for one in section.findings if one.kind == "caution"]
    assert warned == [
        "The best learning rate lies at an edge of the grid, and may lie beyond it, for lstm on "
        "recall at length 64 (the highest, 0.01)."
    ]
    (figure,) = [figure for figure in section.figures if "validation-by" in figure.name]
    assert "At an edge of the grid, and maybe better beyond it: lstm (0.01)." in figure.description
