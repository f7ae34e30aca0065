"""Asks the runs that count at lengths of their own: those of each cell's chosen setting."""

from collections.abc import Iterator
from pathlib import Path

import jax

from experiments.cells import cells
from seqmodels.errors import UserError
from seqmodels.evaluation.lengths import read_lengths
from seqmodels.evaluation.lengths_run import lengths_run
from seqmodels.evaluation.runs import load
from seqmodels.output import warn
from seqmodels.sweeps.records import Record, read_records
from seqmodels.sweeps.trials import Trial


def ask(folder: Path, file: Path, lengths: str, examples: int | None = None) -> int:
    """Scores the chosen runs of a file, as far as their checkpoints lie in a sweep's folder.

    What was asked before is not asked again; lengths that a model can't serve, such as those beyond
    its filters, are left out. Returns how many runs were asked.
    """
    count = 0
    for run in _chosen(file):
        trial = Trial(folder, run["name"]).folder
        wanted = {n for n in read_lengths(lengths) if str(n) not in run.get("by_length", {})}
        if not wanted or not (trial / "checkpoints").is_dir():
            continue
        try:
            served = load(trial).model.facts.longest
            served = {n for n in wanted if served is None or n <= served}
            if served:
                text = ",".join(map(str, sorted(served)))
                lengths_run(str(trial), "best", ("test",), text, examples=examples)
                count += 1
        except UserError as error:
            warn(f"{run['name']} is not asked: {error}")
        jax.clear_caches()  # no two runs share a program, and hundreds don't fit into memory
    return count


def _chosen(file: Path) -> Iterator[Record]:
    for cell in cells(read_records(file)).values():
        yield from cell.chosen
