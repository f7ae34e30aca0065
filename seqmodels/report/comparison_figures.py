"""How the models of a comparison were trained: learning rate against score, learning curves."""

import statistics

from seqmodels.report.comparison import Comparison, Contender, links
from seqmodels.report.figure import Axis, Choice, Figure, Mark, Series, choice
from seqmodels.report.findings import Finding, Part, Strong, place
from seqmodels.report.intervals import limits_of, seeds_mark
from seqmodels.report.levels import results_of, with_levels
from seqmodels.report.reading import Content, StoredRun
from seqmodels.report.styles import Styles
from seqmodels.report.values import Number, number, readable, shown, slug

NAMED = 3
"""Of those at an edge, in a sentence."""


def tuning_figures(comparison: Comparison, styles: Styles) -> Choice | Figure | None:
    """Validation score against the key that was tuned, where it is one."""
    options = []
    for setting, groups in comparison.settings():
        for key in dict.fromkeys(group.curve["key"] for group in groups if group.curve):
            own = [group for group in groups if group.curve and group.curve["key"] == key]
            figure = _tuning(comparison, styles, own, key, setting.text)
            options.append(((short(key), setting.text or "all"), figure))
    keys = {labels[0] for labels, figure in options if figure is not None}
    title = f"Validation {comparison.what} against {' or '.join(sorted(keys))}"
    return choice(slug(comparison.name, "tuning"), title, ("key", "at"), options)


def _tuning(
    comparison: Comparison, styles: Styles, groups: list[Contender], key: str, setting: str
) -> Figure | None:
    series = [
        Series(group.label, styles[group.label], points)
        for group in groups
        if (points := _tuned(comparison, group))
    ]
    values = {point.x for one in series for point in one.points}
    if len(values) < 2:
        return None
    edges = [(group.label, edge) for group in groups if (edge := edge_of(comparison, group))]
    warned = ", ".join(f"{label} ({shown(edge[0], 'number')})" for label, edge in edges)
    told = f" At an edge of the grid, and maybe better beyond it: {warned}." if edges else ""
    return Figure(
        slug(comparison.name, "validation", "by", key, setting),
        _at(f"Validation {comparison.what} against {short(key)}", setting),
        "What the choice was made by: means over seeds with their 95% intervals; a dot is a "
        f"seed.{told}",
        Axis(short(key), log=min(values) > 0),
        Axis(f"validation {comparison.what}"),
        series,
        wide=True,
    )


def edge_of(comparison: Comparison, group: Contender) -> tuple[Number, str] | None:
    """The value that validates best where it is the lowest or the highest that was tried."""
    points = _tuned(comparison, group)
    if len(points) < 2:
        return None
    best = max(points, key=lambda point: comparison.sign * point.y)
    ends = {points[0].x: "lowest", points[-1].x: "highest"}
    return (best.x, ends[best.x]) if best.x in ends else None


def edge_findings(comparison: Comparison, figure: str) -> list[Finding]:
    """Whose best value lies at an edge of the grid, so that a better one may lie beyond: a sentence
    for each key that was tuned."""
    made = []
    tuned = [group for group in comparison.groups if len(_tuned(comparison, group)) > 1]
    for key in dict.fromkeys(group.curve["key"] for group in tuned):
        own = [group for group in tuned if group.curve["key"] == key]
        edges = [(group, edge) for group in own if (edge := edge_of(comparison, group))]
        if not edges:
            continue
        told: list[Part] = []
        for group, (value, end) in edges[:NAMED]:
            told += [", " if told else "", Strong(group.label, group.label)]
            told.append(f" on {place(group)} (the {end}, {shown(value, 'number')})")
        more = f" and {len(edges) - NAMED} more" if len(edges) > NAMED else ""
        begins = f"The best {short(key)} lies at an edge of the grid, and may lie beyond it, for "
        made.append(Finding((begins, *told, f"{more}."), figure, "caution"))
    return made


def curve_figures(comparison: Comparison, styles: Styles) -> Choice | Figure | None:
    """Learning curves: validation score or training loss by step."""
    options = []
    for split in ("validation", "train"):
        said = f"validation {comparison.what}" if split == "validation" else "training loss"
        for setting, groups in comparison.settings():
            figure = _curves(comparison, styles, groups, split)
            options.append(((said, setting.text or "all"), figure))
    return choice(slug(comparison.name, "curves"), "Learning curves", ("of", "at"), options)


def _curves(
    comparison: Comparison, styles: Styles, groups: list[Contender], split: str
) -> Figure | None:
    metric = comparison.score if split == "validation" else "loss"
    series = []
    for group in groups:
        points = _curve(group.runs, split, metric)
        if points:
            runs = links(comparison, group.runs)
            points = [point._replace(runs=runs) for point in points]
            series.append(Series(group.label, styles[group.label], points, "curve"))
    if not series:
        return None
    said = f"validation {comparison.what}" if split == "validation" else "training loss (nats)"
    title = said.capitalize().removesuffix(" (nats)")
    positive = all(point.y > 0 for one in series for point in one.points)
    if split == "validation":
        steps = {point.x for one in series for point in one.points}
        ends = min(steps), max(steps)
        contents = [content for group in groups for content in results_of(group.runs)]
        series = with_levels(series, [(x, content) for x in ends for content in contents])
    return Figure(
        slug(comparison.name, "curves", split, groups[0].setting.text),
        _at(f"{title} by step", groups[0].setting.text),
        "Mean over seeds; bands from the lowest seed to the highest.",
        Axis("step", "count"),
        Axis(said, log=split == "train" and positive),
        series,
        wide=True,
    )


def _at(title: str, *settings: str) -> str:
    return ", ".join([title, *filter(None, settings)])


def _curve(runs: list[StoredRun], split: str, metric: str) -> list[Mark]:
    """By step, the mean over the runs that reached it, and their range."""
    by_step: dict[int, list[Number]] = {}
    for run in runs:
        for event in run.events:
            value = number(event.get(metric))
            if event.get("split") == split and value is not None:
                by_step.setdefault(event["step"], []).append(value)
    return [_of_seeds(step, values) for step, values in sorted(by_step.items())]


def _of_seeds(x: Number, values: list[Number]) -> Mark:
    """The mean of some scores and their range."""
    ends = (min(values), max(values)) if len(values) > 1 else (None, None)
    return Mark(x, statistics.fmean(values), *ends)


def _tuned(comparison: Comparison, group: Contender) -> list[Mark]:
    """Of each value of the key that was tuned the scores of its seeds, by ascending values."""
    rungs: list[Content] = group.curve.get("points", [])
    marks = []
    for rung in rungs:
        scores = [score for score in map(number, rung["validation"]) if score is not None]
        if (x := number(rung["value"])) is not None:
            marks.append(seeds_mark(x, scores, limits_of(comparison.score)))
    return sorted((mark for mark in marks if mark is not None), key=lambda mark: mark.x)


def short(key: str) -> str:
    """The last part of a config's key, in words."""
    return readable(key.rsplit(".", 1)[-1].replace("_", " "))
