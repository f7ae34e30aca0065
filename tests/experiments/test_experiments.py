"""What is asked of every experiment: its config, its page, its README and its check cell."""

import json
import re
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from experiments import ask, documents, pages
from experiments.checks import Costs, Measured, Training
from experiments.draw import PAGES
from experiments.rules import NO_RUN
from seqmodels.config import load_sweep
from seqmodels.errors import UserError
from seqmodels.evaluation.lengths import read_lengths
from seqmodels.json_files import listed_lines
from seqmodels.scaling.files import EMPTY
from seqmodels.sweeps.groups import argument_text, make_run
from seqmodels.sweeps.points import split
from seqmodels.sweeps.records import Record, collect, put_back, read_records
from seqmodels.training.resolving import load_whole
from tests.sweeps.finished import COST, RATE, finished_sweep

ROOT = Path(__file__).parents[2]
ALL = (*documents.CLAIMS, *documents.NUMBERS, *documents.ORDERINGS)
CONFIGS = sorted(str(file.relative_to(ROOT)) for file in ROOT.glob("experiments/*/config.py"))


def page(name: str):
    return import_module(f"experiments.{name}.page")


def planted(folder: Path, cells: dict[str, float], **more) -> Path:
    """Writes three runs a cell, by its arguments, with about its score."""
    lines = []
    for text, score in cells.items():
        arguments = dict(part.split("=", 1) for part in text.split(",") if part)
        for seed in range(3):
            overrides = {RATE: 0.01, "seed": seed}
            record = Record(
                name=make_run(arguments, overrides, {}).name,
                config="x",
                arguments=arguments,
                overrides=overrides,
                resolved="",
                data="",
                score="accuracy",
                higher_is_better=True,
                validation=score,
                test=score + 0.001 * seed,
                chance=0.1,
                parameters=50_000,
                steps=1,
                best_step=1,
                seconds=1.0,
                cost=COST,  # type: ignore[typeddict-item]
                versions={},
                **more,
            )
            lines.append(json.dumps(record))
    (folder / "results.json").write_text(listed_lines(lines))
    return folder


def test_all_are_gathered_and_shown():
    """In docs/, in the README's table, and by the command."""
    shown = (ROOT / "experiments/README.md").read_text()
    assert set(PAGES) == {*ALL, "atlas", "linear_claims"}
    assert (len(documents.CLAIMS), len(documents.NUMBERS) + len(documents.ORDERINGS)) == (8, 12)
    assert [name for name in PAGES if f"| [{name}]({name}/README.md) |" not in shown] == []


@pytest.mark.parametrize("file", CONFIGS)
def test_every_cell_of_a_sweep_resolves(file):
    module = import_module(file.removesuffix(".py").replace("/", "."))
    points = load_sweep(str(ROOT / file)) if hasattr(module, "sweep") else [{}]
    texts = dict.fromkeys(argument_text(split(point)[0]) for point in points)
    for text in texts:
        whole = load_whole(f"{ROOT / file}:{text}" if text else str(ROOT / file)).config
        assert whole.train.steps <= 15_625
    assert all(split(point)[1].keys() <= {RATE, "train.steps", "seed"} for point in points)


@pytest.mark.parametrize("name", ALL)
def test_a_page_says_where_there_is_no_run(name, tmp_path):
    found = page(name).found(tmp_path)
    assert found.verdict == NO_RUN
    assert not found.figures
    assert set(re.findall(r"\| ([^|]*) \|\n", found.table + "\n")[2:]) <= {"–"}


@pytest.mark.parametrize("name", ALL)
def test_a_page_is_drawn_of_what_is_committed(name, monkeypatch):
    """What stands in its README is what is committed: nobody has typed it, nor forgot to draw."""
    monkeypatch.setattr(
        pages, "save", lambda figure, folder: f"![{figure.title}]({figure.name}.png)"
    )
    folder = ROOT / "experiments" / name
    text = pages.page_text(folder, page(name).found())
    readme = (folder / "README.md").read_text()
    assert f"<!-- results -->\n\n{text}\n<!-- end of results -->" in readme
    for figure in page(name).found().figures:
        assert (folder / f"{figure.name}.png").stat().st_size < 300_000


def test_pages_of_docs_are_drawn_of_what_is_committed(monkeypatch):
    written = {}
    monkeypatch.setattr(
        documents, "replace_table", lambda file, name, text: written.update({file: text})
    )
    documents.draw_documents()
    for file, text in written.items():
        assert text in Path(file).read_text()


@pytest.mark.parametrize("name", ALL)
def test_runs_are_asked_at_the_lengths_that_a_page_shows(name):
    """By the command in its README."""
    said = re.search(r"--lengths=(\S+)", (ROOT / "experiments" / name / "README.md").read_text())
    asked = read_lengths(said.group(1)) if said is not None else ()
    module = page(name)
    shown = {
        *getattr(module, "LENGTHS", ()),
        *([module.LENGTH] if hasattr(module, "LENGTH") else []),
    }
    if name == "cost_crossovers":  # whose lengths are those of a scaling table
        shown = set()
    assert shown <= set(asked)


@pytest.mark.parametrize(
    "file",
    [
        file
        for file in sorted(ROOT.glob("experiments/*/results.json"))
        if "resolved" in file.read_text()
    ],
    ids=lambda file: file.parent.name,
)
def test_a_sweep_goes_on_from_committed_runs(file, tmp_path, monkeypatch):
    """Their configs still say what they said, whatever keys have come since: one a mixer."""
    monkeypatch.chdir(ROOT)
    runs = {record["arguments"].get("mixer"): record for record in read_records(file)}
    kept = tmp_path / "results.json"
    kept.write_text(listed_lines(json.dumps(record) for record in runs.values()))
    assert put_back(kept, tmp_path / "sweep") == len(runs) > 0


def test_figures_are_small():
    assert sum(file.stat().st_size for file in ROOT.glob("experiments/*/*.png")) < 5_000_000


@pytest.mark.parametrize("name", [*ALL, "atlas"])
def test_a_check_cell_is_a_run_that_can_be_made(name):
    check = page(name).CHECK
    assert isinstance(check, Training | Costs | Measured)
    if isinstance(check, Training):
        overrides = [tuple(override.split("=", 1)) for override in check.overrides]
        assert load_whole(check.spec, overrides).config.train.steps <= 1500
        assert check.allowed([0.5, 0.7]) == pytest.approx((0.45, 0.75))
    if isinstance(check, Costs):
        assert check.allowed([2.0, 4.0]) == pytest.approx((1.5, 5.0))


def test_a_changed_run_changes_the_verdict_on_a_claim(tmp_path):
    module = page("rnn_long")
    cells = {
        f"task={task},mixer={mixer}": 0.9 for task in module.QUESTIONS for mixer in module.MIXERS
    }
    assert module.found(planted(tmp_path, cells)).verdict == "*holds*"
    for mixer in module.RECURRENT:
        cells[f"task=recall,mixer={mixer}"] = 0.5
    verdict = module.found(planted(tmp_path, cells)).verdict
    assert verdict.startswith("*holds when* one token is to be found again; ten symbols")
    assert "looked up" not in verdict
    cells["task=recall,mixer=gru"] = 0.95  # the best of them counts
    assert module.found(planted(tmp_path, cells)).verdict == "*holds*"
    del cells["task=parity,mixer=global"]
    assert module.found(planted(tmp_path, cells)).verdict == "unfinished: 1 of 6 lack runs"


def test_a_changed_run_changes_whether_a_number_lands(tmp_path):
    found = page("selective_copying").found
    cells = {"mixer=mamba": 0.995, "mixer=mingru": 0.99, "mixer=lru": 0.3}
    assert found(planted(tmp_path, cells)).verdict == "*lands*"
    assert found(planted(tmp_path, cells | {"mixer=mamba": 0.9})).verdict == "*3 of 4 land*"
    assert found(planted(tmp_path, cells | {"mixer=lru": 0.999})).verdict == "*2 of 4 land*"


def test_scores_by_length_and_by_distance_count(tmp_path):
    """Those that were asked, of each seed."""
    asked = {str(n): {"score": 0.1, "examples": 9} for n in page("induction").PUBLISHED["mamba"]}
    cells = {f"mixer={mixer}": 1.0 for mixer in ("mamba", "global")}
    found = page("induction").found(planted(tmp_path, cells, by_length=asked))
    assert (
        "| mamba at 4,096 | 100.0 | 10.0, 10.0, 10.0: 10.0 ± 0.0 (3) | 3 of 3 | does not land |"
        in (found.table)
    )
    assert found.verdict == "*1 of 10 land*"  # attention at 4,096: 8.6
    module = page("convolution_reach")
    assert [module.field(mixer) for mixer in module.DILATIONS] == [9, 17, 33, 253]
    slices = {
        "distance": {"1": 1.0, "2-3": 1.0, "4-7": 1.0, "8-15": 0.1, "16-31": 0.1, "32-63": 0.1}
    }
    asked = {"64": {"score": 0.5, "examples": 9, "slices": slices}}
    cells = {f"mixer={mixer}": 0.5 for mixer in module.MIXERS}
    table = module.found(planted(tmp_path, cells, by_length=asked)).table
    assert "stacked 2 deep and the needle lies beyond their field | 10.0 ± 0.0 (3)" in table
    assert (
        "it lies within, where it is found | 64.0 ± 0.0 (3), at least 90 | does not hold" in table
    )


def test_costs_count(tmp_path):
    """A linear mixer that becomes cheaper late doesn't land where it is published earlier."""
    module = page("cost_crossovers")

    def costs(crosses: int) -> Path:
        cells = [
            EMPTY
            | {"mixer": mixer, "length": length, "status": "measured"}
            | {"step_seconds": {"median": of, "low": of, "high": of, "repeats": 3}}
            for length in module.LENGTHS
            for mixer, of in (
                ("global", 1.0),
                ("linear_attention", 2.0 if length < crosses else 0.5),
            )
        ]
        empty = {name: [] for name in ("quality", "fits", "crossovers", "longest")}
        stored = {"kind": "scaling", "config": "", "command": "", "machine": {}, "target": None}
        (tmp_path / "scaling.json").write_text(json.dumps(stored | empty | {"cells": cells}))
        return tmp_path

    said = "| a step of linear_attention becomes cheaper than attention's | 2,048 to 4,096 |"
    assert (
        f"{said} at 4,096 of the lengths measured | – | lands |" in module.found(costs(4096)).table
    )
    assert (
        "at 16,384 of the lengths measured | – | does not land" in module.found(costs(16_384)).table
    )
    assert "| at none | – | does not land |" in module.found(costs(99_999)).table


def test_a_symmetry_that_breaks_is_no_claim(tmp_path):
    module = page("equivariance")
    lines = [
        {
            "mixer": m,
            "symmetry": s,
            "seed": seed,
            "error": 0.0 if module.EXPECTED.get((m, s), ("", 1))[1] else 1.0,
        }
        for m in module.MIXERS
        for s in module.SYMMETRIES
        for seed in range(3)
    ]
    (tmp_path / "results.json").write_text("\n".join(map(json.dumps, lines)))
    assert module.found(tmp_path).verdict == "*holds*"
    lines[0]["error"] = 1e-3  # attention, permutation
    (tmp_path / "results.json").write_text("\n".join(map(json.dumps, lines)))
    assert module.found(tmp_path).verdict.startswith("*holds when* it has rotary ones")


def test_attention_is_held_against_the_places_of_what_is_written():
    """A source of three read from its end; the end token, the fourth, repeats none."""
    from experiments.attention_in_rnn.alignment import aligned

    true = np.array([[0.1, 0.1, 0.8], [0.2, 0.6, 0.2], [0.9, 0.1, 0.0], [1.0, 0.0, 0.0]])
    assert aligned(true[None]) == (1.0, pytest.approx((0.8 + 0.6 + 0.9) / 3, abs=1e-6))
    assert aligned(true[None, :, ::-1])[0] == pytest.approx(1 / 3)


def test_runs_that_count_are_asked_where_their_models_can_serve(tmp_path, monkeypatch, capsys):
    """Those of the chosen rate, at lengths that they have not been asked."""
    cells = {"mixer=gru": [(0.1, 0, 0.9), (0.1, 1, 0.8), (0.01, 0, 0.5)], "mixer=lru": [(1, 0, 1)]}
    folder = finished_sweep(tmp_path / "sweep", cells)
    collect(folder, tmp_path / "results.json")
    for trial in (folder / "trials").iterdir():
        if "lru" not in trial.name:  # put back from a file, it has none
            (trial / "checkpoints").mkdir()
    asked = []

    def load(trial):
        facts = SimpleNamespace(longest=100 if "seed=1" in trial.name else None)
        return SimpleNamespace(model=SimpleNamespace(facts=facts))

    def lengths_run(trial, checkpoint, splits, lengths, examples):
        asked.append((trial.partition("rate=")[2].partition("-")[0], splits, lengths, examples))
        if "seed=0" in trial:
            raise UserError("it can't")

    monkeypatch.setattr(ask, "load", load)
    monkeypatch.setattr(ask, "lengths_run", lengths_run)
    assert ask.ask(folder, tmp_path / "results.json", "64,128", 9) == 1
    assert asked == [
        ("0.1,seed=0", ("test",), "64,128", 9),
        ("0.1,seed=1", ("test",), "64", 9),
    ]
    assert "seed=0" in capsys.readouterr().err
