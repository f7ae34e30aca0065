"""Score against length, or against another number in which models differ."""

import statistics
from collections.abc import Sequence

from seqmodels.report.alike import words
from seqmodels.report.asked import THRESHOLD, asked_runs, called, mark, threshold, trained_at
from seqmodels.report.comparison import Comparison, Contender, links
from seqmodels.report.figure import Axis, Choice, Figure, Mark, Series, choice
from seqmodels.report.intervals import limits_of, seeds_mark
from seqmodels.report.levels import results_of, stored_levels, with_levels
from seqmodels.report.styles import Styles
from seqmodels.report.values import Number, number, readable, slug
from seqmodels.tasks.base import SHARES


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
        Series(label, styles[label], sorted(marks, key=lambda mark: mark.x))
        for label, marks in lines.items()
    ]
    spoken = _spoken(name)
    held = [(x, content) for x, group in placed for content in results_of(group.runs)]
    return Figure(
        slug(comparison.name, "score", "by", name, rest),
        ", ".join(filter(None, [f"{comparison.what.capitalize()} against {spoken}", rest])),
        f"{text} Means over seeds with their 95% intervals; a dot is a seed.",
        Axis(spoken, "count", log=min(places) > 0),
        Axis(f"test {comparison.what}"),
        with_levels(series, held),
        wide=True,
    )


def beyond_training(comparison: Comparison, styles: Styles) -> Figure | None:
    """Scores of trained runs at other lengths, from lengths.json."""
    asked = asked_runs(comparison)
    series, held = [], []
    for one in asked:
        by_length = one.at(comparison.score)
        points = [
            mark(comparison, comparison.score, x, told, one, one.split)
            for x, told in by_length.items()
        ]
        if points:
            name = called(one, asked)
            series.append(Series(name, styles[name], points))
            held += [level for run in one.runs for level in stored_levels(run, one.split)]
    if not series:
        return None
    lines = [*with_levels(series, held), *threshold(comparison.score, series)]
    return Figure(
        slug(comparison.name, "beyond", "training"),
        f"{comparison.what.capitalize()} at lengths beyond training's",
        "Trained once, asked at each length. Of several seeds the mean and its 95% interval over "
        "them, of one that over examples.",
        Axis("length", "count", log=True),
        Axis(comparison.what),
        lines,
        wide=True,
        at=trained_at(asked),
    )


def effective_lengths(comparison: Comparison) -> dict[int, Number | None]:
    """By a group's place the longest length up to which its mean keeps to THRESHOLD.

    Of a share of answers; None where the shortest falls short. Groups that were asked at one
    length alone are left out.
    """
    found: dict[int, Number | None] = {}
    if comparison.score not in SHARES:
        return found
    for one in asked_runs(comparison):
        by_length, reached = one.at(comparison.score), None
        if len(by_length) < 2:
            continue
        for length, told in by_length.items():
            if statistics.fmean(entry["mean"] for entry in told) < THRESHOLD:
                break
            reached = length
        found[comparison.groups.index(one.group)] = reached
    return found
