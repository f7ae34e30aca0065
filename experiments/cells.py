"""Cells of a table: the runs of one choice of arguments, of which validation chooses a setting."""

import json
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from scipy.special import stdtrit

from seqmodels.sweeps.groups import argument_text
from seqmodels.sweeps.records import Record
from seqmodels.sweeps.summary import REPEATED, best_setting


class Cell(NamedTuple):
    """What is known of one choice of arguments."""

    runs: list[Record]
    """All of them."""
    chosen: list[Record]
    """Those of the setting that validates best, one a seed."""

    @property
    def tests(self) -> list[float]:
        """The test scores of the chosen setting."""
        return [run["test"] for run in self.chosen]

    @property
    def best(self) -> float:
        """The best test score of any run."""
        choose = max if self.runs[0]["higher_is_better"] else min
        return choose(run["test"] for run in self.runs)


def cells(records: Iterable[Record]) -> dict[str, Cell]:
    """The cells by the text of their arguments, such as ``task=recall,mixer=gru``."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(argument_text(record["arguments"]), []).append(record)
    return {text: Cell(runs, _chosen(runs)) for text, runs in groups.items()}


def _chosen(runs: list[Record]) -> list[Record]:
    settings: dict[str, list[Record]] = {}
    for run in runs:
        settings.setdefault(json.dumps(setting_of(run), sort_keys=True), []).append(run)
    validated = {name: [run["validation"] for run in own] for name, own in settings.items()}
    return settings[best_setting(validated, runs[0]["higher_is_better"])]


def setting_of(run: Record) -> dict[str, Any]:
    """What a run sets but its seed."""
    return {key: value for key, value in run["overrides"].items() if key != REPEATED}


def margin(values: Sequence[float]) -> float | None:
    """Half of the 95% interval of a mean over seeds, by Student's t; None of fewer than two.

    >>> round(margin([0.9, 1.0, 0.95]), 3)
    0.124
    """
    n = len(values)
    if n < 2:
        return None
    return float(stdtrit(n - 1, 0.975)) * statistics.stdev(values) / n**0.5


def in_per_cent(cell: Cell | None) -> str:
    """The mean test score of the chosen setting, its interval and how many seeds: ``98 ± 1 (3)``;
    a dash where there is none."""
    if cell is None:
        return "–"
    half = margin(cell.tests)
    shown = "" if half is None else f" ± {100 * half:.1f}"
    return f"{100 * statistics.fmean(cell.tests):.1f}{shown} ({len(cell.tests)})"
