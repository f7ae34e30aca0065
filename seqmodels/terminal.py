"""What is printed for a reader: text as it is, and tables of which nothing is cut."""

import io
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH = 10_000
"""Columns that a table may take; a narrower window wraps its lines."""


def plain_console(**settings: Any) -> Console:
    """A console that takes no text for markup, an emoji or something to colour.

    In a notebook too it prints text: rich would make HTML of each line.
    """
    plain: Any = {"markup": False, "emoji": False, "highlight": False, "soft_wrap": True}
    return Console(**plain, force_jupyter=False, **settings)


def in_notebook() -> bool:
    """Whether a notebook shows what is printed."""
    return Console().is_jupyter


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", right: bool = False
) -> None:
    """Prints a table, each value in full, under a title.

    With ``right`` all columns but the first stand to the right, as numbers do.
    """
    console = plain_console(width=WIDTH)
    if title:
        console.print(title)
    console.print(_table(columns, rows, right))


def table_text(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as text, without colours.

    >>> print(table_text(["source", "written"], [["[b]", ":smile:"]]))
    ┏━━━━━━━━┳━━━━━━━━━┓
    ┃ source ┃ written ┃
    ┡━━━━━━━━╇━━━━━━━━━┩
    │ [b]    │ :smile: │
    └────────┴─────────┘
    """
    text = io.StringIO()
    console = plain_console(width=WIDTH, file=text, color_system=None)
    console.print(_table(columns, rows, right=False))
    return text.getvalue().rstrip()


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: bool) -> Table:
    table = Table()
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if right and place else "left")
    for row in rows:
        table.add_row(*row)
    return table
