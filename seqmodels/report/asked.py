"""Runs that were scored at several lengths (``lengths.json``), by what they are compared as."""

from collections.abc import Sequence
from typing import NamedTuple

from seqmodels.report.comparison import Comparison, Contender, links
from seqmodels.report.figure import Mark, Series
from seqmodels.report.intervals import limits_of, seeds_mark
from seqmodels.report.levels import STYLES
from seqmodels.report.reading import Content, StoredRun
from seqmodels.report.values import Number, number
from seqmodels.tasks.base import SHARES

THRESHOLD = 0.9
"""That a share must keep for a length to count as mastered, as where runs are scored by length."""


class Asked(NamedTuple):
    """The runs of a group that were scored at several lengths, on one split."""

    group: Contender
    split: str
    runs: list[StoredRun]

    def at(self, score: str) -> dict[int, list[Content]]:
        """By length each run's score, with its interval over examples."""
        found: dict[int, list[Content]] = {}
        for run in self.runs:
            for length, entry in run.last_lengths.get(self.split, {}).items():
                told = entry["metrics"].get(score)
                if told is not None and number(told["mean"]) is not None:
                    found.setdefault(int(length), []).append(told)
        return dict(sorted(found.items()))

    def entries(self, length: int) -> list[Content]:
        """What each run that was asked at a length has of it."""
        found = [run.last_lengths[self.split].get(str(length)) for run in self.runs]
        return [entry for entry in found if entry is not None]


def asked_runs(comparison: Comparison) -> list[Asked]:
    """What was scored at several lengths; of a run the test split where there is one."""
    made = []
    for group in comparison.groups:
        by_split: dict[str, list[StoredRun]] = {}
        for run in group.runs:
            if splits := run.last_lengths:
                by_split.setdefault("test" if "test" in splits else next(iter(splits)), []).append(
                    run
                )
        made += [Asked(group, split, runs) for split, runs in by_split.items()]
    return made


def mark(
    comparison: Comparison, score: str, x: Number, told: list[Content], asked: Asked, note: str
) -> Mark:
    """Of several runs the mean and its interval over them; of one its own, over its examples."""
    runs = links(comparison, asked.runs)
    if len(told) > 1:
        means = [entry["mean"] for entry in told]
        found = seeds_mark(x, means, limits_of(score), note, runs)
        assert found is not None
        return found
    (one,) = told
    return Mark(x, one["mean"], number(one["low"]), number(one["high"]), note, runs)


def called(one: Asked, others: Sequence[Asked]) -> str:
    """Its label, with what else tells it from the others."""
    several = len({other.group.setting for other in others}) > 1
    differs = [one.group.setting.text] if several else []
    differs += [f"{one.split} split"] if one.split != "test" else []
    return ", ".join(filter(None, [one.group.label, *differs]))


def threshold(score: str, series: Sequence[Series]) -> list[Series]:
    """A line at THRESHOLD as long as the series, where the score is a share."""
    if score not in SHARES:
        return []
    ends = [point.x for one in series for point in one.points]
    marks = [Mark(min(ends), THRESHOLD), Mark(max(ends), THRESHOLD)]
    return [Series(f"{THRESHOLD:.0%}, the threshold", STYLES["threshold"], marks, "level")]


def trained_at(asked: Sequence[Asked], most: Number | None = None) -> tuple[tuple[int, str], ...]:
    """Places of the lengths that they were trained at, up to ``most``, and the words there."""
    trained = {one.group.length for one in asked if one.group.length}
    shown = sorted(length for length in trained if most is None or length <= most)
    return tuple((length, f"trained at {length:,}") for length in shown[:3])
