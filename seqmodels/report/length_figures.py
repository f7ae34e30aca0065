"""Score against length, or against another number that was swept or that a task tells apart."""

import re
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from seqmodels.report.alike import words
from seqmodels.report.comparison import Comparison, Contender, links
from seqmodels.report.figure import Axis, Choice, Figure, Mark, Series, choice
from seqmodels.report.intervals import limits_of, seeds_mark
from seqmodels.report.levels import STYLES, results_of, stored_levels, with_levels
from seqmodels.report.reading import Content, StoredRun
from seqmodels.report.styles import Styles
from seqmodels.report.values import Number, number, readable, slug
from seqmodels.tasks.base import SHARES

THRESHOLD = 0.9
"""That a share must keep for a length to count as mastered, as where runs are scored by length."""


def swept_figures(comparison: Comparison, styles: Styles) -> Choice | Figure | None:
    """Test scores of models that were each trained there: by length, and by any other number in
    which they differ, be it an argument of a sweep or a key of their configs."""
    groups = [group for group in comparison.groups if group.test.values]
    options = []
    for line in dict.fromkeys(group.setting.line for group in groups):
        own = [(g.length, g) for g in groups if g.setting.line == line and g.length]
        along = f", with {own[0][1].setting.along}" if own and own[0][1].setting.along else ""
        text = f"Each model was trained and tested at its length{along}."
        options.append((("length", line or "all"), _swept(comparison, styles, own, line, text)))
    names = dict.fromkeys(name for group in groups for name in (*group.point, *group.told))
    others = []
    for name in [name for name in names if name != "length"]:
        rests: dict[str, list[tuple[Number, Contender]]] = {}
        for group in groups:
            if (value := number((group.told | group.point).get(name))) is not None:
                rest = words(group.point, [other for other in group.point if other != name])
                rests.setdefault(rest, []).append((value, group))
        for rest, own in rests.items():
            text = f"Each model was trained and tested with its own {_spoken(name)}."
            figure = _swept(comparison, styles, own, rest, text, name)
            others.append(((readable(name), rest or "all"), figure))
    title = f"{comparison.what.capitalize()} of models trained at each length"
    if any(figure is not None for _, figure in others):
        title = f"{comparison.what.capitalize()} against what was varied"
    menus = ("against", "of")
    return choice(slug(comparison.name, "by-length"), title, menus, [*options, *others])


def _spoken(name: str) -> str:
    return readable(name.rsplit(".", 1)[-1].replace("_", " "))


def _swept(
    comparison: Comparison,
    styles: Styles,
    placed: Sequence[tuple[Number, Contender]],
    rest: str,
    text: str,
    name: str = "length",
) -> Figure | None:
    """A line for all that differ in nothing but ``name``, by which they are placed.

    None where all have one value, or of anything but the length no two stand in one line.
    """
    within = limits_of(comparison.score)
    lines: dict[str, list[Mark]] = {}
    for x, group in placed:
        told = [group.setting.text, words(group.chosen, list(group.chosen), "=")]
        note, runs = ", ".join(filter(None, told)), links(comparison, group.runs)
        mark = seeds_mark(x, group.test.values, within, note, runs)
        assert mark is not None
        lines.setdefault(group.without(name), []).append(mark)
    places = {x for x, _ in placed}
    most = max((len({mark.x for mark in marks}) for marks in lines.values()), default=0)
    if len(places) < 2 or (most < 2 and name != "length"):
        return None
    series = [
        Series(called, styles[called], sorted(marks, key=lambda mark: mark.x))
        for called, marks in lines.items()
    ]
    held = [(x, content) for x, group in placed for content in results_of(group.runs)]
    called = _spoken(name)
    return Figure(
        slug(comparison.name, "score", "by", name, rest),
        ", ".join(filter(None, [f"{comparison.what.capitalize()} against {called}", rest])),
        f"{text} Means over seeds with their 95% intervals; a dot is a seed.",
        Axis(called, "count", log=min(places) > 0),
        Axis(f"test {comparison.what}"),
        with_levels(series, held),
        wide=True,
    )


class _Asked(NamedTuple):
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


def _asked(comparison: Comparison) -> list[_Asked]:
    """What was scored at several lengths; of a run the test split where there is one."""
    made = []
    for group in comparison.groups:
        by_split: dict[str, list[StoredRun]] = {}
        for run in group.runs:
            if splits := run.last_lengths:
                by_split.setdefault("test" if "test" in splits else next(iter(splits)), []).append(
                    run
                )
        made += [_Asked(group, split, runs) for split, runs in by_split.items()]
    return made


def _mark(comparison: Comparison, x: Number, told: list[Content], asked: _Asked, note: str) -> Mark:
    """Of several runs the mean and its interval over them; of one its own, over its examples."""
    runs = links(comparison, asked.runs)
    if len(told) > 1:
        means = [entry["mean"] for entry in told]
        found = seeds_mark(x, means, limits_of(comparison.score), note, runs)
        assert found is not None
        return found
    (one,) = told
    return Mark(x, one["mean"], number(one["low"]), number(one["high"]), note, runs)


def beyond_training(comparison: Comparison, styles: Styles) -> Figure | None:
    """Scores of trained runs at other lengths, from lengths.json."""
    asked = _asked(comparison)
    series, held = [], []
    for one in asked:
        by_length = one.at(comparison.score)
        points = [_mark(comparison, x, told, one, one.split) for x, told in by_length.items()]
        if points:
            name = _called(one, asked)
            series.append(Series(name, styles[name], points))
            held += [level for run in one.runs for level in stored_levels(run, one.split)]
    if not series:
        return None
    trained = {group.length for group, *_ in asked if group.length}
    lines = with_levels(series, held)
    if comparison.score in SHARES:
        ends = [point.x for one in series for point in one.points]
        marks = [Mark(min(ends), THRESHOLD), Mark(max(ends), THRESHOLD)]
        lines.append(Series(f"{THRESHOLD:.0%}, the threshold", STYLES["threshold"], marks, "level"))
    return Figure(
        slug(comparison.name, "beyond", "training"),
        f"{comparison.what.capitalize()} at lengths beyond training's",
        "Trained once, asked at each length. Of several seeds the mean and its 95% interval over "
        "them, of one that over examples.",
        Axis("length", "count", log=True),
        Axis(comparison.what),
        lines,
        wide=True,
        at=tuple((length, f"trained at {length:,}") for length in sorted(trained)[:3]),
    )


def _called(one: _Asked, others: list[_Asked]) -> str:
    several = len({other.group.setting for other in others}) > 1
    differs = [one.group.setting.text] if several else []
    differs += [f"{one.split} split"] if one.split != "test" else []
    return ", ".join(filter(None, [one.group.label, *differs]))


def effective_lengths(comparison: Comparison) -> dict[int, Number | None]:
    """By a group's place the longest length up to which its mean keeps to THRESHOLD.

    Of a share of answers; None where the shortest falls short. Groups that were asked at one
    length alone are left out.
    """
    found: dict[int, Number | None] = {}
    if comparison.score not in SHARES:
        return found
    for one in _asked(comparison):
        by_length, reached = one.at(comparison.score), None
        if len(by_length) < 2:
            continue
        for length, told in by_length.items():
            if statistics.fmean(entry["mean"] for entry in told) < THRESHOLD:
                break
            reached = length
        found[comparison.groups.index(one.group)] = reached
    return found


def slice_figures(comparison: Comparison, styles: Styles) -> Choice | Figure | None:
    """The score by what a task tells its answers apart by: position, distance, nesting."""
    asked = _asked(comparison)
    places = dict.fromkeys(
        (field, int(length))
        for one in asked
        for run in one.runs
        for length, entry in run.last_lengths[one.split].items()
        for field in entry["slices"]
    )
    trained = {one.group.length for one in asked}
    options = [
        ((readable(field), f"length {length:,}"), _sliced(comparison, styles, asked, field, length))
        for field, length in sorted(places, key=lambda p: (p[0], p[1] not in trained, p[1]))
    ]
    title = f"{comparison.what.capitalize()} by what is asked"
    return choice(slug(comparison.name, "by-field"), title, ("by", "at"), options)


def _sliced(
    comparison: Comparison, styles: Styles, asked: list[_Asked], field: str, length: int
) -> Figure | None:
    series, held, least = [], [], 1.0
    for one in asked:
        found: dict[str, list[Content]] = {}
        for entry in _entries(one, length):
            for value, told in entry["slices"].get(field, {}).items():
                if number(told["mean"]) is not None:
                    found.setdefault(value, []).append(told)
            held.append(entry)
        known = [(x, value) for value in found if (x := _first_number(value)) is not None]
        points = [
            _mark(comparison, x, found[value], one, f"{readable(field)} {readable(value)}")
            for x, value in sorted(known)
        ]
        if points:
            name = _called(one, asked)
            least = min(least, points[0].x)
            series.append(Series(name, styles[name], points))
    if sum(len(one.points) for one in series) < 2:
        return None
    places = {point.x for one in series for point in one.points}
    levels = [(x, entry) for entry in held for x in (min(places), max(places))]
    what = readable(field)
    return Figure(
        slug(comparison.name, "by", what, "length", length),
        f"{comparison.what.capitalize()} by {what}, length {length:,}",
        f"Answers by their {what}; where values are joined, at the first of them. Of several "
        "seeds the mean and its 95% interval over them, of one that over examples.",
        Axis(what, "count", log=least > 0),
        Axis(comparison.what),
        with_levels(series, levels),
        wide=True,
    )


def _entries(one: _Asked, length: int) -> Iterable[Content]:
    for run in one.runs:
        entry: Any = run.last_lengths[one.split].get(str(length))
        if entry is not None:
            yield entry


def _first_number(text: str) -> int | None:
    """``4`` of ``4-7``."""
    found = re.match(r"-?[0-9]{1,15}", text)
    return int(found[0]) if found else None
