"""Scores by what a task tells its answers apart by, and by position."""

import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from seqmodels.report.asked import Asked, asked_runs, called, mark, threshold, trained_at
from seqmodels.report.comparison import Comparison
from seqmodels.report.figure import Axis, Choice, Figure, Mark, Series, choice
from seqmodels.report.levels import with_levels
from seqmodels.report.reading import Content
from seqmodels.report.styles import Styles
from seqmodels.report.values import Number, number, readable, slug

_OVER = "Of several seeds the mean and its 95% interval over them, of one that over examples."


class _Kept(NamedTuple):
    """Scores that lengths.json has of a length, by values: of one field, or of one metric."""

    part: Literal["slices", "by_position"]
    name: str
    length: int

    @property
    def at(self) -> str:
        return f"length {self.length:,}"

    def of(self, entry: Content) -> dict[str, Content]:
        """By value; nothing of an entry that an earlier version wrote."""
        return entry.get(self.part, {}).get(self.name, {})


def slice_figures(comparison: Comparison, styles: Styles) -> Choice | Figure | None:
    """The score by what a task tells its answers apart by: position, distance, nesting."""
    asked = asked_runs(comparison)
    options = [
        ((readable(kept.name), kept.at), _sliced(comparison, styles, asked, kept))
        for kept in _all_kept(asked, "slices")
    ]
    title = f"{comparison.what.capitalize()} by what is asked"
    return choice(slug(comparison.name, "by-field"), title, ("by", "at"), options)


def position_figures(comparison: Comparison, styles: Styles) -> Choice | Figure | None:
    """The score and the loss by position, where sequences have targets at several."""
    asked = asked_runs(comparison)
    kept = _all_kept(asked, "by_position")
    # The score has lines to be held against; the loss is what every task has.
    order = [comparison.score, "loss", *(one.name for one in kept)]
    options = []
    for one in sorted(kept, key=lambda one: order.index(one.name)):
        for setting in dict.fromkeys(other.group.setting for other in asked):
            own = [other for other in asked if other.group.setting == setting]
            menus = (_words(one.name), one.at, setting.text or "all")
            options.append((menus, _by_position(comparison, styles, own, one, setting.text)))
    name = slug(comparison.name, "by-position")
    return choice(name, "Score and loss by position", ("of", "at", "trained with"), options)


def _all_kept(asked: Sequence[Asked], part: Literal["slices", "by_position"]) -> list[_Kept]:
    """By name; lengths of training stand first."""
    trained = {one.group.length for one in asked}
    found = {
        _Kept(part, name, int(length))
        for one in asked
        for run in one.runs
        for length, entry in run.last_lengths[one.split].items()
        for name in entry.get(part, {})
    }
    return sorted(found, key=lambda kept: (kept.name, kept.length not in trained, kept.length))


def _words(metric: str) -> str:
    return readable(metric).replace("_", " ")


def _sliced(
    comparison: Comparison, styles: Styles, asked: list[Asked], kept: _Kept
) -> Figure | None:
    what = readable(kept.name)
    lines = _lines(comparison, asked, kept, comparison.score, _first, what)
    if sum(len(marks) for _, marks in lines) < 2:
        return None
    ends = _ends(lines)
    held = [(x, entry) for one in asked for entry in one.entries(kept.length) for x in ends]
    return Figure(
        slug(comparison.name, "by", what, kept.at),
        f"{comparison.what.capitalize()} by {what}, {kept.at}",
        f"Answers by their {what}; where values are joined, at the first of them. {_OVER}",
        Axis(what, "count", log=ends[0] > 0),
        Axis(comparison.what),
        with_levels([Series(name, styles[name], marks) for name, marks in lines], held),
        wide=True,
    )


def _by_position(
    comparison: Comparison, styles: Styles, asked: list[Asked], kept: _Kept, setting: str
) -> Figure | None:
    what, is_the_score = _words(kept.name), kept.name == comparison.score
    lines = _lines(comparison, asked, kept, kept.name, _middle, "position")
    if sum(len(marks) for _, marks in lines) < 2:
        return None
    series = [Series(name, styles[name], marks, "curve") for name, marks in lines]
    if is_the_score:
        held = [(x, e) for one in asked for e in one.entries(kept.length) for x in _ends(lines)]
        series = [*with_levels(series, held), *threshold(comparison.score, series)]
    return Figure(
        slug(comparison.name, what, "by-position", kept.at, setting),
        f"{what.capitalize()} by position, {kept.at}"
        + (f", trained with {setting}" if setting else ""),
        "Of the targets at each position of a sequence, counted from 1; where positions are "
        f"joined, at their middle. {_OVER}",
        Axis("position", "count", log=True),
        Axis(what),
        series,
        wide=True,
        at=trained_at(asked, kept.length),
    )


def _lines(
    comparison: Comparison,
    asked: list[Asked],
    kept: _Kept,
    score: str,
    place: Callable[[str], Number | None],
    word: str,
) -> list[tuple[str, list[Mark]]]:
    """By name the marks of what was kept, where ``place`` says; ``word`` is what they are told."""
    made = []
    for one in asked:
        found: dict[tuple[Number, str], list[Content]] = {}
        for entry in one.entries(kept.length):
            for value, told in kept.of(entry).items():
                if (x := place(value)) is not None and number(told["mean"]) is not None:
                    found.setdefault((x, value), []).append(told)
        if found:
            marks = [
                mark(comparison, score, x, told, one, f"{word} {readable(value)}")
                for (x, value), told in sorted(found.items())
            ]
            made.append((called(one, asked), marks))
    return made


def _ends(lines: list[tuple[str, list[Mark]]]) -> tuple[Number, Number]:
    places = [mark.x for _, marks in lines for mark in marks]
    return min(places), max(places)


def _first(text: str) -> int | None:
    """``4`` of ``4-7``."""
    found = re.match(r"-?[0-9]{1,15}", text)
    return int(found[0]) if found else None


def _middle(text: str) -> Number | None:
    """``5.5`` of ``4-7``, and ``4`` of ``4``; None of what is no place on a logarithm's axis."""
    found = re.fullmatch(r"([0-9]{1,15})(?:-([0-9]{1,15}))?", text)
    if found is None or not int(found[1]):
        return None
    return int(found[1]) if found[2] is None else (int(found[1]) + int(found[2])) / 2
