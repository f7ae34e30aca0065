"""The one place that writes CSV, of which a spreadsheet runs nothing."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqmodels.json_files import write_whole

_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as CSV: numbers in full, None as an empty cell; no other cell can be a formula.

    >>> print(csv_text(["a", "@b"], [("=1+1", -2.5), (None, ("-x", 3))]), end="")
    a,'@b
    '=1+1,-2.5
    ,"('-x', 3)"
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_cell(column) for column in columns])
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return text.getvalue()


def write_csv(file: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes a row for each mapping; a column that one lacks is empty there.

    Raises:
      UserError: it can't be written.
    """
    write_whole(file, csv_text(columns, ([row.get(column) for column in columns] for row in rows)))


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    return f"'{text}" if text.startswith(_BEGINS_A_FORMULA) else text
