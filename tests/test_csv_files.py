"""CSV: no cell of any file is one that a spreadsheet runs."""

import csv
import io
import re
from pathlib import Path

import pytest

import seqmodels
from seqmodels.csv_files import csv_text, write_csv
from seqmodels.errors import UserError

HARMFUL = ("=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", '=HYPERLINK("x")')


def test_a_text_is_no_formula_in_any_cell(tmp_path):
    write_csv(tmp_path / "a.csv", HARMFUL, [dict.fromkeys(HARMFUL, text) for text in HARMFUL])
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 1 + len(HARMFUL)
    assert all(cell.startswith("'") for row in rows for cell in row)
    assert [cell[1:] for cell in rows[0]] == list(HARMFUL)
    assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]


def test_numbers_and_gaps_stay_what_they_are():
    read = list(csv.reader(io.StringIO(csv_text(["a", "b", "c"], [(-2.5, None, True)]))))
    assert read == [["a", "b", "c"], ["-2.5", "", "True"]]


def test_nothing_else_writes_csv():
    own = Path(seqmodels.__file__).parent
    files = [*own.rglob("*.py"), *own.parent.glob("benchmarks/*.py")]
    writers = [f.name for f in files if re.search(r"csv\.(writer|DictWriter)", f.read_text())]
    assert writers == ["csv_files.py"]


def test_what_can_not_be_written_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"a\.csv can't be written \(No such file or directory\)$"):
        write_csv(tmp_path / "missing" / "a.csv", ["a"], [])
