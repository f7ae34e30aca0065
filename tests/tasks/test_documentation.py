"""What docs/tasks.md says of a task is so."""

import re
from pathlib import Path

import pytest

from benchmarks.document import set_line
from benchmarks.task_entries import ENTRIES, chance_cell, entry_of
from benchmarks.task_files import FILES
from seqmodels.tasks import TASKS
from seqmodels.tasks.generated.task import GeneratedTask

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tasks.md").read_text()
HOW = "run benchmarks/tasks.py with --only=KIND and --document=docs/tasks.md"
TABLE = PAGE.partition("<!-- tasks -->")[2].partition("<!-- end of tasks -->")[0]
DOCUMENTED = re.findall(r"^\| `(\w+)` \|", TABLE, re.MULTILINE)


def test_what_has_an_entry_is_documented_and_a_task():
    assert ENTRIES.keys() <= set(DOCUMENTED), HOW
    assert set(DOCUMENTED) <= TASKS.keys()
    assert [kind for kind in TASKS if kind in DOCUMENTED] == DOCUMENTED


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_a_row_is_the_tasks_own_and_has_an_example(kind, tmp_path):
    row = re.search(rf"^\| `{kind}` \| ([^|]*) \| ([^|]*) \|.*\|$", PAGE, re.MULTILINE)
    assert row
    files = FILES[kind](tmp_path, entry_of(kind).length) if kind in FILES else {}
    spec = TASKS[kind](seed=0, **files).spec
    assert row[1] == spec.shape
    assert row[2].split() == [
        str(spec.input_size),
        spec.inputs if spec.input_size > 1 else spec.inputs[:-1],
    ]
    assert f"- **{kind}**: " in PAGE, f"{kind} has no example in docs/tasks.md: {HOW}"


DRAWN = [
    kind for kind in DOCUMENTED if issubclass(TASKS[kind], GeneratedTask) and kind != "listops"
]  # of that 4,000 of 2,000 tokens


@pytest.mark.parametrize("kind", DRAWN)
def test_its_chance_is_what_the_task_says(kind):
    (row,) = re.findall(rf"^\| `{kind}` \|.*\|$", PAGE, re.MULTILINE)
    said = set(row.split(" | ")[4].split(" / "))
    measured = entry_of(kind).measured
    assert said == {chance_cell(TASKS[kind](seed=0, **own), length) for own, length in measured}


def test_the_figure_is_there_and_small():
    assert "images/tasks.png" in PAGE
    assert (ROOT / "docs" / "images" / "tasks.png").stat().st_size < 300_000


def test_a_tasks_line_is_replaced_or_added_in_its_place(tmp_path):
    """Whatever else the page holds stays, and no other task is measured for it."""
    page = tmp_path / "page.md"
    page.write_text("a text\n\n| b | 1 |\n| d | 1 |\n\nthe end\n")
    order = ["| a |", "| b |", "| c |", "| d |"]
    set_line(str(page), order, "| b |", "| b | 2 |")
    set_line(str(page), order, "| c |", "| c | 2 |")
    set_line(str(page), order, "| a |", "| a | 2 |")
    assert page.read_text() == "a text\n\n| a | 2 |\n| b | 2 |\n| c | 2 |\n| d | 1 |\n\nthe end\n"
