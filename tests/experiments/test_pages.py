"""The pages of experiments/, drawn from the runs that are committed."""

import json
import statistics
from pathlib import Path

import pytest

from benchmarks import document
from experiments.atlas import page as atlas
from experiments.atlas import picture, sixteen, text
from experiments.atlas.points import longer
from experiments.cells import cells, percent
from experiments.linear_claims import page as claims
from seqmodels.scaling.files import EMPTY
from seqmodels.sweeps.records import collect, read_records
from tests.command_line import call
from tests.sweeps.finished import finished_sweep

RECALL = "task=recall,mixer=gru,short=on"


def collected(folder: Path, runs: dict) -> Path:
    """A file of runs that have finished."""
    collect(finished_sweep(folder / "sweep", runs), folder / "results.json")
    return folder / "results.json"


def row(text: str, *begin: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {' | '.join(begin)} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_cell_has_the_rate_that_validates_best_over_its_seeds(tmp_path):
    runs = [(0.1, 0, 0.95), (0.01, 0, 0.9), (0.01, 1, 0.92), (0.001, 0, 0.5)]
    (cell,) = cells(read_records(collected(tmp_path, {RECALL: runs}))).values()
    assert sorted(cell.tests) == pytest.approx([0.8, 0.82])
    assert cell.best == pytest.approx(0.85)
    half = 12.7062 * statistics.stdev([0.8, 0.82]) / 2**0.5
    assert percent(cell.tests) == f"81.0 ± {100 * half:.1f} (2)"
    assert percent(()) == "–"


def test_a_longer_run_is_not_of_the_sweep_that_chose_its_rate(tmp_path):
    runs = [(0.1, 0, 0.5), (0.01, 0, 0.9), (0.001, 0, 0.4)]
    records = read_records(collected(tmp_path, {RECALL: runs}))
    long = [{**run, "overrides": run["overrides"] | {"train.steps": 9}} for run in records[:2]]
    tuned = {0.001: [0.4], 0.01: [0.9], 0.1: [0.5]}
    for order in (records + long, long + records):
        (cell,) = cells(order).values()
        assert cell.rates() == tuned


def test_the_atlas_is_a_table_of_what_there_is(tmp_path):
    collected(
        tmp_path, {RECALL: [(0.01, 0, 0.9)], "task=recall,mixer=mamba,short=off": [(1, 0, 1)]}
    )
    times = {"median": 0.5, "low": 0.4, "high": 0.6, "repeats": 3}
    whole = {"mixer": "gru", "status": "measured", "step_seconds": times, "state_bytes": 512}
    whole |= {"temporary_bytes": 2**21, "sequential_depth": 4097}
    cell = [EMPTY | whole | {"length": 2048}, EMPTY | whole | {"length": 16_384}]
    cell[1] |= {"status": "does not fit", "step_seconds": None}
    machine = {"cores": 2, "processor": "a processor"}
    scaling = {"kind": "scaling", "config": "", "command": "", "machine": machine, "target": None}
    empty = {name: [] for name in ("quality", "fits", "crossovers", "longest")}
    (tmp_path / "scaling.json").write_text(json.dumps(scaling | empty | {"cells": cell}))
    text = atlas.text(tmp_path)
    assert text == atlas.text(tmp_path)
    costs = ["0.5", "4,097", "500", "does not fit", "2", "does not fit"]
    assert row(text, "gru")[2:] == [*costs, "80.0 (1)", "–", "–", "–"]
    assert row(text, "mamba")[2:] == [*["–"] * 9, "90.0 (1)"]
    assert "Costs: 2 cores, a processor. Scores: 2 runs of 75,000 to 75,000 parameters" in text
    assert "No run has been collected yet." in atlas.text(tmp_path / "nothing")


def test_the_atlas_has_the_mixers_and_tasks_of_its_config():
    from configs import atlas as config

    assert tuple(atlas.EQUATIONS) == config.MIXERS
    names = ("task", "mixer", "short")
    asked = {",".join(f"{name}={point[name]}" for name in names) for point in config.sweep()}
    told = {where.format(mixer) for where in atlas.TASKS.values() for mixer in atlas.EQUATIONS}
    assert told == asked
    asked = {(point["task"], point["mixer"]) for of in (sixteen, text) for point in of.sweep()}
    assert asked == {(task, mixer) for task in picture.QUESTIONS for mixer in config.FAMILIES}


def test_greater_lengths_are_trained_at_the_rate_that_was_found(tmp_path):
    cell = "task=recall,mixer=gru,short=on"
    file = collected(tmp_path, {cell: [(0.01, 0, 0.9), (0.003, 0, 0.95)]})
    points = longer(("recall", "parity"), file)
    assert [(p["optimizer.learning_rate"], p["seed"]) for p in points] == [
        (0.003, seed) for seed in range(3)
    ]
    assert {(p["task"], p["mixer"], p["length"]) for p in points} == {("recall", "gru", 256)}


def test_the_atlas_says_what_was_found(tmp_path):
    """Of three seeds: who is told apart from the best, who has a constant state, who guesses."""
    scores = {"global": 1.1, "lru": 0.9, "gru": 0.2}
    runs = {
        f"task=recall,mixer={mixer},short=on": [(0.01, seed, of) for seed in range(3)]
        for mixer, of in scores.items()
    }
    collected(tmp_path, runs)
    text = picture.findings(picture.read(tmp_path))
    assert text == (
        "- **recall**: global is best with 100.0 ± 0.0 (3); all others score less. Of those whose "
        "state doesn't grow lru, 80.0 ± 0.0 (3). No better than chance: gru "
        "(`task=recall,mixer=*,short=on`)."
    )
    assert picture.findings(picture.read(tmp_path / "nothing")) == "No run yet."


@pytest.mark.parametrize(
    ("signed", "unsigned", "verdicts"),
    [
        ([1.1], [0.6, 0.5, 0.5], ("solves", "does not")),
        ([1.1], [0.6, 0.5], ("solves", "unfinished")),
        ([0.95, 1.1], [0.91, 0.5, 0.5], ("solves", "neither")),
        ([1.1], [0.5, 1.1], ("solves", "solves")),
        ([0.9, 0.8, 0.8], [0.6], ("hangs on more seeds", "nothing to hold it against")),
        ([0.9, 0.8], [0.6], ("unfinished", "nothing to hold it against")),
    ],
)
def test_verdicts_follow_one_rule(tmp_path, signed, unsigned, verdicts):
    """The scores are of validation, 0.1 above those of test."""
    runs = {
        f"task=s3,mixer=deltaproduct_{steps}": [(rate, 0, s) for rate, s in enumerate(scores, 1)]
        for steps, scores in ((2, signed), (1, unsigned))
    }
    text = claims.text(cells(read_records(collected(tmp_path, runs))))
    found = [row(text, "s3", f"deltaproduct_{steps}")[-1] for steps in (2, 1)]
    assert tuple(found) == verdicts


def test_what_still_does_not_solve_with_more_seeds_does_not(tmp_path):
    runs = {"task=parity,mixer=slstm": [(0.1, 0, 0.7), (0.1, 1, 0.8), (0.1, 2, 0.7)]}
    text = claims.text(cells(read_records(collected(tmp_path, runs))))
    assert row(text, "parity", "slstm")[2:] == ["solves", "70.0", "3", "does not"]
    assert row(text, "parity", "mlstm")[2:] == ["does not", "–", "0", "no run yet"]


@pytest.mark.parametrize(
    ("others", "verdicts"),
    [((0.2, 0.2), ["", "rises", "does not", "rises"]), ((0.2,), ["", *["unfinished"] * 3])],
)
def test_recall_rises_from_state_to_state(tmp_path, others, verdicts):
    scores = {4: 0.3, 8: 0.5, 16: 0.4, 32: 0.9}
    runs = {
        f"task=recall,mixer=mamba2_{n}": [(rate, 0, s) for rate, s in enumerate((own, *others), 1)]
        for n, own in scores.items()
    }
    text = claims.text(cells(read_records(collected(tmp_path, runs))))
    assert [row(text, "recall", f"mamba2_{n}")[-1] for n in scores] == verdicts


def test_the_claims_are_of_runs_that_the_configs_have():
    from experiments.linear_claims import config
    from experiments.selective_copying import config as copying

    asked = {(point["task"], point["mixer"]) for point in config.sweep()}
    told = {(c.task, mixer) for c in claims.CLAIMS for mixer in (*c.solves, *c.not_)}
    told |= {(task, mixer) for task, mixers in (claims.STATES, claims.SHOWN) for mixer in mixers}
    elsewhere = {("selective_copy", point["mixer"]) for point in copying.sweep()}
    assert told == asked | elsewhere
    assert len(config.sweep()) == 48
    assert {config.get_config(f"task={t},mixer={m}").model.width for t, m in asked} == {64}


def test_more_seeds_are_those_of_the_best_rate_alone(monkeypatch):
    from experiments.linear_claims import config

    monkeypatch.setitem(config._HANGING, ("parity", "slstm"), 3e-3)
    own = [p for p in config.sweep() if (p["task"], p["mixer"]) == ("parity", "slstm")]
    assert [(p["optimizer.learning_rate"], p["seed"]) for p in own] == [(3e-3, n) for n in range(3)]


def test_what_is_drawn_stands_between_its_comments(tmp_path, monkeypatch):
    """Of each experiment; drawn again it is the same, and what stands around it stays."""
    written = []
    for module, name in ((atlas, "atlas"), (claims, "verdicts")):
        monkeypatch.setattr(module, "replace_table", lambda *given: written.append(given))
        monkeypatch.setattr(module, "save", lambda *_: "", raising=False)
        module.draw()
        place, table, text = written.pop()
        copy = tmp_path / f"{name}.md"
        copy.write_text(Path(place).read_text())
        document.replace_table(str(copy), table, text)
        once = copy.read_text()
        document.replace_table(str(copy), table, text)
        assert table == name
        assert copy.read_text() == once
        assert text in once


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        ("draw", ["atlsa"], "'atlsa' is no experiment that has a page; did you mean 'atlas'?"),
        ("collect", ["--sweep=nowhere", "--runs=x"], "--sweep=nowhere holds no sweep.json; name"),
    ],
)
def test_mistakes_are_one_line(program, arguments, message):
    code, output, errors = call(f"experiments/{program}.py", *arguments)
    assert (code, output) == (2, "")
    (line,) = errors.splitlines()
    assert line.startswith(f"experiments/{program}.py: {message}")


def test_a_sweep_is_collected_by_a_command(tmp_path):
    folder = finished_sweep(tmp_path / "sweep", {RECALL: [(0.01, 0, 0.9)]})
    given = [f"--sweep={folder}", f"--runs={tmp_path / 'results.json'}"]
    said = f"1 runs added, 1 in {tmp_path / 'results.json'}\n"
    assert call("experiments/collect.py", *given) == (0, said, "")
    assert len(read_records(tmp_path / "results.json")) == 1
