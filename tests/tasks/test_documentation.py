"""docs/tasks.md speaks of every task, and what it says of it is so."""

import re
from pathlib import Path

import pytest

from benchmarks.task_entries import ENTRIES, chance_cell
from benchmarks.task_files import FILES
from seqmodels.tasks import TASKS
from seqmodels.tasks.base import GeneratedTask

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tasks.md").read_text()
HOW = (
    "give it a line in benchmarks/task_entries.py and run benchmarks/tasks.py as docs/tasks.md says"
)


def test_every_task_has_an_entry():
    assert TASKS.keys() == ENTRIES.keys(), HOW


@pytest.mark.parametrize("kind", TASKS)
def test_every_task_has_a_row_and_an_example(kind, tmp_path):
    row = re.search(rf"^\| `{kind}` \| ([^|]*) \| ([^|]*) \|.*\|$", PAGE, re.MULTILINE)
    assert row, f"{kind} has no row in docs/tasks.md: {HOW}"
    files = FILES[kind](tmp_path, ENTRIES[kind].length) if kind in FILES else {}
    spec = TASKS[kind](seed=0, **files).spec
    assert row[1] == spec.shape
    assert row[2].split() == [
        str(spec.input_size),
        spec.inputs if spec.input_size > 1 else spec.inputs[:-1],
    ]
    assert f"- **{kind}**: " in PAGE, f"{kind} has no example in docs/tasks.md: {HOW}"


DRAWN = [
    kind for kind, task in TASKS.items() if issubclass(task, GeneratedTask) and kind != "listops"
]  # of that 4,000 of 2,000 tokens


@pytest.mark.parametrize("kind", DRAWN)
def test_its_chance_is_what_the_task_says(kind):
    (row,) = re.findall(rf"^\| `{kind}` \|.*\|$", PAGE, re.MULTILINE)
    said = set(row.split(" | ")[4].split(" / "))
    measured = ENTRIES[kind].measured
    assert said == {chance_cell(TASKS[kind](seed=0, **own), length) for own, length in measured}


def test_the_figure_is_there_and_small():
    assert "images/tasks.png" in PAGE
    assert (ROOT / "docs" / "images" / "tasks.png").stat().st_size < 300_000
