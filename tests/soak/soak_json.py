"""JSON of runs, sweeps and scalings that parses and holds something else, read by all commands.

400 mutations over every JSON file of small folders (``MUTATIONS=2000`` for more), each read by each
command that reads the file: none ends in a traceback, and none goes on as if nothing was wrong.
Five minutes.
"""

import os
from collections import Counter

from rich.table import Table

from tests.mutated_json import outcomes
from tests.old_folders.conftest import copied, old, unpacked  # noqa: F401

MUTATIONS = int(os.environ.get("MUTATIONS", 400))


def test_a_mutated_file_is_refused_or_said(old, tmp_path, show):  # noqa: F811
    counts: dict[tuple[str, str], Counter[str]] = {}
    wrong: list[str] = []
    messages: dict[tuple[str, str], str] = {}
    for outcome in outcomes(old, tmp_path, MUTATIONS):
        row = outcome.folder, outcome.reader
        counts.setdefault(row, Counter())[outcome.ended] += 1
        if outcome.message:
            messages.setdefault(row, outcome.message)
        if not outcome.is_right:
            wrong.append(str(outcome))
    ends = list(dict.fromkeys(end for row in counts.values() for end in row))
    table = Table("folder", "read by", *ends)
    for (folder, reader), row in counts.items():
        table.add_row(folder, reader, *(str(row[end]) for end in ends))
    show(table)
    print(
        *(f"{reader} of {folder}: {said}" for (folder, reader), said in messages.items()), sep="\n"
    )
    print("\n".join(wrong))
    assert wrong == []
