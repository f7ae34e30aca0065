"""Score against cost, with a menu of costs: what is the best that a price buys?"""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from seqmodels.report.alike import words
from seqmodels.report.comparison import Comparison, Contender, links
from seqmodels.report.costs import MEASURES, Measure
from seqmodels.report.figure import Axis, Choice, Figure, Mark, Series, choice, pareto
from seqmodels.report.findings import scored
from seqmodels.report.intervals import limits_of, seeds_mark
from seqmodels.report.styles import GREY, Styles
from seqmodels.report.values import Number, number, slug

EVERY_LENGTH = "every length"
_REACH = "reach_seconds"


class Question(NamedTuple):
    """Contenders of one setting, or of one task at every length."""

    text: str
    label: str
    """In a menu."""
    groups: list[Contender]

    @property
    def is_of_one_length(self) -> bool:
        return self.label != EVERY_LENGTH


def cost_figures(
    comparison: Comparison, styles: Styles
) -> tuple[list[Choice | Figure], dict[str, str]]:
    """A figure for what differs in nothing but the length, with a menu of costs and of lengths.

    And by the text of a setting the name of the figure that shows it first.
    """
    made, shown = [], {}
    for line in dict.fromkeys(group.setting.line for group in comparison.groups):
        of_line = [g for g in comparison.groups if g.setting.line == line and g.test.values]
        settings = dict.fromkeys(group.setting for group in of_line)
        questions = [
            Question(
                setting.text,
                setting.text.removesuffix(line).rstrip(", ") or "all",
                [group for group in of_line if group.setting == setting],
            )
            for setting in sorted(settings, key=lambda s: -_longest(of_line, s))
        ]
        if len(questions) > 1:
            questions.append(Question(f"{EVERY_LENGTH} {line}".strip(), EVERY_LENGTH, of_line))
        options = [
            (labels, figure)
            for question in questions
            for labels, figure in _options(comparison, styles, question)
            if figure is not None
        ]
        for (_, label), figure in reversed(options):
            shown |= {q.text: figure.name for q in questions if q.label == label}
        title = ", ".join(filter(None, [f"{comparison.what.capitalize()} against cost", line]))
        made.append(choice(slug(comparison.name, "cost", line), title, ("cost", "at"), options))
    return [one for one in made if one is not None], shown


def _longest(groups: Sequence[Contender], setting: Any) -> int:
    return max((group.length or 0 for group in groups if group.setting == setting), default=0)


def _options(
    comparison: Comparison, styles: Styles, question: Question
) -> list[tuple[tuple[str, str], Figure | None]]:
    """A figure a cost; of times one a machine, as only those of one are compared."""
    groups = question.groups
    level, made = _reached(comparison, groups), []
    machines = list(dict.fromkeys(group.costs.machine for group in groups))
    measures = dict(MEASURES)
    if level is not None:
        goal = f"validation {comparison.what} {scored(level, comparison.score)}"
        measures[_REACH] = Measure("", f"training time to {goal}", "seconds", timed=True)
    for name, measure in measures.items():
        several = measure.timed and len(machines) > 1
        for machine in machines if several else [""]:
            own = [group for group in groups if not several or group.costs.machine == machine]
            if name == _REACH:
                costs = [_time_to(comparison, group, level) for group in own]
            else:
                costs = [cost_of(group, name) for group in own]
            known = [(g, cost) for g, cost in zip(own, costs, strict=True) if (cost or 0) > 0]
            title = f"{measure.title}, on {machine}" if several else measure.title
            figure = _figure(comparison, styles, known, measure._replace(title=title), question)
            menu = title if name != _REACH else "training time to a score"
            made.append(((menu, question.label), figure))
    return made


def cost_of(group: Contender, name: str) -> Number | None:
    """A cost of a contender, by the names of MEASURES."""
    own = {"seconds": group.seconds, "parameters": group.parameters, "flops": group.flops}
    return own[name] if name in own else group.costs.values.get(name)


def _figure(
    comparison: Comparison,
    styles: Styles,
    known: list[tuple[Contender, Any]],
    measure: Measure,
    question: Question,
) -> Figure | None:
    text = question.text
    if len(known) < 2:
        return None
    marks = {id(group): _mark(comparison, group, cost) for group, cost in known}
    series = []
    for mixer in dict.fromkeys(group.mixer for group, _ in known):
        own = [group for group, _ in known if group.mixer == mixer]
        labels = list(dict.fromkeys(group.label for group in own))
        # Of one mixer models of other sizes make a line; at every length its lengths do.
        sizes = len(labels) > 1 and all(group.is_a_size for group in own)
        sizes = sizes and question.is_of_one_length
        for label in [mixer] if sizes else labels:
            points = [marks[id(g)] for g in own if sizes or g.label == label]
            points.sort(key=lambda point: (point.x, point.y))
            form = "line" if len(points) > 1 else "points"
            series.append(Series(label, styles[label], points, form))
    told = "Means of seeds with their 95% intervals. "
    if question.is_of_one_length:
        better = "above" if comparison.higher_is_better else "below"
        told += (
            "Shaded: what something else here beats in both. The dotted front is the best that "
            f"each cost buys; {better} it is nothing."
        )
        series = with_front(series, comparison.higher_is_better, measure)
    else:
        told += "A line joins the lengths of a mixer."
    more = "more" if comparison.higher_is_better else "less"
    return Figure(
        slug(comparison.name, "score-by", measure.title, text),
        ", ".join(filter(None, [f"{comparison.what.capitalize()} against {measure.title}", text])),
        told,
        Axis(measure.title, measure.kind, log=True),
        Axis(f"test {comparison.what}"),
        series,
        wide=True,
        better=(measure.better, more) if question.is_of_one_length else None,
    )


def _mark(comparison: Comparison, group: Contender, cost: Number) -> Mark:
    told = [group.label, group.setting.text, words(group.chosen, list(group.chosen), "=")]
    note, runs = ", ".join(filter(None, told)), links(comparison, group.runs)
    found = seeds_mark(cost, group.test.values, limits_of(comparison.score), note, runs)
    assert found is not None
    return found


def with_front(series: list[Series], higher_is_better: bool, measure: Measure) -> list[Series]:
    """The series and their Pareto front; its points say so."""
    points = [point for one in series for point in one.points]
    front = pareto(points, higher_is_better, measure.better)
    told = []
    for one in series:
        points = [
            p._replace(note=", ".join(filter(None, [p.note, "on the Pareto front"])))
            if p in front
            else p
            for p in one.points
        ]
        told.append(one._replace(points=points))
    return [*told, Series("best for its cost", GREY, front, "front")]


def _reached(comparison: Comparison, groups: Sequence[Contender]) -> Number | None:
    """The validation score that half of some groups come to."""
    means = [group.validation.mean for group in groups if group.validation.mean is not None]
    if len(means) < 2:
        return None
    choose = statistics.median_low if comparison.higher_is_better else statistics.median_high
    return choose(means)


def _time_to(comparison: Comparison, group: Contender, level: Number | None) -> Number | None:
    """The mean time in which a group's runs first validate as well as that; None if one never
    does, or they ran on several machines."""
    if level is None or not group.costs.is_of_one_machine:
        return None
    times = []
    for run in group.runs:
        reached = [
            event["seconds"]
            for event in run.events
            if event.get("split") == "validation"
            and (value := number(event.get(comparison.score))) is not None
            and comparison.sign * (value - level) >= 0
        ]
        times.append(min(reached, default=None))
    known = [time for time in times if time is not None]
    return statistics.fmean(known) if known and len(known) == len(times) else None
