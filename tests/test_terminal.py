"""What is printed is the text itself, taken for no markup and cut in no window."""

import io
import re
import sys

import pytest
from rich.console import Console

from seqmodels.output import Lenient
from seqmodels.sweeps import display as sweep_display
from seqmodels.sweeps.display import SweepDisplay
from seqmodels.terminal import plain_console, print_table, table_text
from seqmodels.training import progress
from seqmodels.training.progress import ProgressDisplay
from tests.command_line import ROOT

NAMES = ("x[/b]", "a[0] = b[i]", "[bold]c[/]", ":smile:", "runs/try[1]", "[link=x]y")


def test_text_is_no_markup(capsys):
    print_table(["[red]name", "value"], [[name, name] for name in NAMES], "[b]title")
    plain_console().print(*NAMES)
    output = capsys.readouterr().out
    for name in (*NAMES, "[red]name", "[b]title"):
        assert output.count(name) == (3 if name in NAMES else 1)
    assert "a[0] = b[i]" in table_text(["[x]"], [["a[0] = b[i]"]])


@pytest.mark.parametrize("columns", ["20", "80", None])
def test_tables_are_whole_in_any_window(capsys, monkeypatch, columns):
    """Redirected, a window has 80 columns; a terminal may have any number."""
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    numbers = [f"0.{place:09}" for place in range(40)]
    print_table([f"column {place}" for place in range(40)], [numbers], "x" * 300, right=True)
    output = capsys.readouterr().out
    assert all(number in output for number in numbers)
    assert "x" * 300 in output
    assert "…" not in output


def test_a_terminal_of_ascii_gets_what_it_has_letters_for(monkeypatch):
    raw = io.BytesIO()
    stream = Lenient(io.TextIOWrapper(raw, encoding="ascii"))
    monkeypatch.setattr(sys, "stdout", stream)
    print_table(["µ", "score"], [["é", "0.5 ✓"]], "− title ×")
    stream.flush()
    lines = raw.getvalue().decode("ascii").splitlines()
    assert lines[0] == "? title ?"
    assert "|---+-------|" in lines
    assert "| ? | 0.5 ? |" in lines


def terminal(width, text):
    """A terminal so wide, which writes into a text."""
    return lambda **_: Console(
        width=width, file=text, force_terminal=True, color_system=None, markup=False, emoji=False
    )


def lines_of(text):
    """What a terminal was given, without the codes that move its cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.getvalue())


@pytest.mark.parametrize("width", [60, 80, 200])
def test_progress_shows_all_of_it(monkeypatch, width):
    text = io.StringIO()
    monkeypatch.setattr(progress, "plain_console", terminal(width, text))
    with ProgressDisplay(0, 1_500_000) as display:
        display.metrics(1_400_000, {"loss": 1.643, "steps/s": 42.1, "tokens/s": 171965.0}, 33.0)
    shown = lines_of(text)
    for part in ("1400000/1500000", "loss", "1.643", "42.1", "171,965"):
        assert part in shown
    assert re.search(r"(-:--:--|\d:\d\d:\d\d)", shown)
    assert "…" not in shown


def test_a_sweep_s_numbers_are_whole_in_a_narrow_window(monkeypatch, tmp_path):
    text = io.StringIO()
    monkeypatch.setattr(sweep_display, "plain_console", terminal(70, text))
    groups = {f"mixer=transformer,length={2**n},pairs={n},extra=[b]": 10**n for n in range(6)}
    with SweepDisplay(tmp_path, "accuracy", True, groups) as display:
        display.update([])
    shown = lines_of(text)
    assert "100000" in shown
    assert "…" not in shown


def test_nothing_else_prints_by_rich():
    """Its Console takes brackets for markup unless it is told not to."""
    users = [
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "seqmodels").rglob("*.py")
        if re.search(r"rich\.(console|print)|from rich import|import rich", file.read_text())
    ]
    assert users == ["seqmodels/terminal.py"]
