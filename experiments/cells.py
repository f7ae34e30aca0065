"""Cells of a table: the runs of one choice of arguments, of which validation chooses a setting."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from scipy.special import stdtrit

from seqmodels.sweeps.groups import argument_text
from seqmodels.sweeps.records import Record
from seqmodels.sweeps.summary import REPEATED, best_setting

RATE = "optimizer.learning_rate"


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
    def validations(self) -> list[float]:
        """Its validation scores."""
        return [run["validation"] for run in self.chosen]

    @property
    def seeds(self) -> int:
        """How many runs the chosen setting has."""
        return len(self.chosen)

    def metric(self, name: str) -> list[float]:
        """Another metric of the chosen setting on test, such as the loss, a seed each."""
        found = (run.get("metrics", {}) for run in self.chosen)
        return [metrics[name] for metrics in found if name in metrics]

    def at(self, *lengths: int) -> list[float]:
        """The mean score at some lengths, of each seed of the chosen setting that was asked all."""
        found = []
        for run in self.chosen:
            asked = run.get("by_length", {})
            if all(str(length) in asked for length in lengths):
                found.append(statistics.fmean(asked[str(length)]["score"] for length in lengths))
        return found

    @property
    def lengths(self) -> list[int]:
        """Those that every seed of the chosen setting was asked."""
        asked = [run.get("by_length", {}).keys() for run in self.chosen]
        return sorted(int(length) for length in set.intersection(*map(set, asked)))

    def slices(self, length: int, field: str) -> dict[str, list[float]]:
        """By the values of a field, as they stand, the score of each seed at a length."""
        found: dict[str, list[float]] = {}
        for run in self.chosen:
            asked = run.get("by_length", {}).get(str(length), {})
            for value, score in asked.get("slices", {}).get(field, {}).items():
                found.setdefault(value, []).append(score)
        return dict(sorted(found.items(), key=lambda item: first_of(item[0])))

    def rates(self, key: str = RATE) -> dict[float, list[float]]:
        """By the values of the key that was tuned, what its seeds validated, ascending.

        Of settings that differ in the key alone: a longer run at the rate that was chosen isn't
        one of the sweep that chose it.
        """
        alike: dict[str, dict[float, list[float]]] = {}
        for run in self.runs:
            setting = setting_of(run)
            if key in setting:
                value = setting.pop(key)
                found = alike.setdefault(json.dumps(setting, sort_keys=True), {})
                found.setdefault(value, []).append(run["validation"])
        return dict(sorted(max(alike.values(), key=len, default={}).items()))

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


def scores_of(found: Mapping[str, Cell], text: str) -> list[float]:
    """The test scores of a cell's chosen setting; none where it has no run."""
    return found[text].tests if text in found else []


def best_of(found: Mapping[str, Cell], texts: Iterable[str]) -> Cell | None:
    """Of some cells the one whose chosen setting validates best, where more is better."""
    there = [found[text] for text in texts if text in found]
    return max(there, key=lambda cell: statistics.fmean(cell.validations), default=None)


def first_of(value: str) -> int:
    """Of a slice such as ``4-7`` the number that it begins with.

    >>> first_of("4-7"), first_of("12")
    (4, 12)
    """
    return int(value.partition("-")[0])


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


def percent(scores: Sequence[float]) -> str:
    """The mean, its interval and how many seeds, in per cent.

    >>> percent([0.9, 1.0, 0.95]), percent([0.5]), percent([])
    ('95.0 ± 12.4 (3)', '50.0 (1)', '–')
    """
    if not scores:
        return "–"
    half = margin(scores)
    shown = "" if half is None else f" ± {100 * half:.1f}"
    return f"{100 * statistics.fmean(scores):.1f}{shown} ({len(scores)})"
