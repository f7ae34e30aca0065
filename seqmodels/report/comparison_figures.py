"""The figures of a comparison: score by length, score by cost, learning curves."""

import statistics
from typing import Any

from seqmodels.report.alike import words
from seqmodels.report.comparison import Comparison, Contender, links, names_of
from seqmodels.report.figure import Axis, Figure, Mark, Series, pareto
from seqmodels.report.levels import results_of, stored_levels, with_levels
from seqmodels.report.reading import Content, StoredRun
from seqmodels.report.styles import GREY, Styles
from seqmodels.report.values import Number, number, readable, slug


class ComparisonFigures:
    """The figures of a comparison; None where there is nothing to draw."""

    def __init__(self, comparison: Comparison, styles: Styles, what: str):
        self.comparison, self.styles, self.what = comparison, styles, what

    def _name(self, *words: str) -> str:
        return slug(self.comparison.name, *words)

    def by_length(self) -> list[Figure]:
        """Test scores of models that were each trained at the length, a figure a line's setting."""
        groups = [g for g in self.comparison.groups if g.length and g.test.mean is not None]
        figures = []
        for line in dict.fromkeys(group.setting.line for group in groups):
            own = [group for group in groups if group.setting.line == line]
            if len({group.length for group in own}) > 1:
                figures.append(self._by_length(own, line))
        return figures

    def _by_length(self, groups: list[Contender], line: str) -> Figure:
        along = f", with {groups[0].setting.along}" if groups[0].setting.along else ""
        series = []
        for label in dict.fromkeys(group.label for group in groups):
            own = [group for group in groups if group.label == label]
            points = [self._point(group, group.length, group.setting.text) for group in own]
            points.sort(key=lambda point: point.x)
            series.append(Series(label, self.styles[label], points))
        return Figure(
            self._name("score", "by", "length", line),
            _at(f"{self.what.capitalize()} against length", line),
            f"Each model was trained and tested at its length{along}. Mean over seeds; bars from "
            "the lowest seed to the highest.",
            Axis("length", "count", log=True),
            Axis(f"test {self.what}"),
            with_levels(series, [(g.length, c) for g in groups for c in results_of(g.runs)]),
            wide=True,
        )

    def beyond_training(self) -> Figure | None:
        """Scores of trained runs at other lengths, from lengths.json."""
        found = [
            (group, run, called, split, points)
            for group in self.comparison.groups
            for run, called in zip(group.runs, names_of(group.runs), strict=True)
            for split, points in [_stored_lengths(run, self.comparison.score)]
            if points
        ]
        settings = {group.setting for group, *_ in found}
        series, held = [], []
        for group, run, called, split, points in found:
            differs = [group.setting.text] if len(settings) > 1 else []
            differs += [called] if len(group.runs) > 1 else []
            differs += [f"{split} split"] if split != "test" else []
            name = ", ".join(filter(None, [group.label, *differs]))
            link = links(self.comparison, [run])
            points = [point._replace(runs=link) for point in points]
            series.append(Series(name, self.styles[name], points))
            held += stored_levels(run, split)
        if not series:
            return None
        return Figure(
            self._name("beyond", "training"),
            f"{self.what.capitalize()} at lengths beyond training's",
            "One trained model each, scored by length; bars are 95% intervals over examples.",
            Axis("length", "count", log=True),
            Axis(self.what),
            with_levels(series, held),
            wide=True,
        )

    def cost(
        self, groups: list[Contender], key: str, title: str, kind: Any, machine: str = ""
    ) -> Figure | None:
        """Test score against a cost; the machine is named where there are several."""
        costs = [(g, getattr(g, key)) for g in groups if g.test.mean is not None]
        drawn = [(g, cost) for g, cost in costs if (cost or 0) > 0]
        if len(drawn) < 2:
            return None
        series = [
            Series(g.label, self.styles[g.label], [self._point(g, cost, "")], "points")
            for g, cost in drawn
        ]
        series = with_front(series, self.comparison.higher_is_better)
        setting = groups[0].setting.text
        return Figure(
            self._name("score", "by", key, setting, machine),
            _at(f"{self.what.capitalize()} against {title.split(' by ')[0]}", setting, machine),
            "Dotted: the Pareto front, beyond which nothing here is both better and cheaper. Bars "
            "from the lowest seed to the highest.",
            Axis(title, kind, log=True),
            Axis(f"test {self.what}"),
            series,
        )

    def tuning(self, groups: list[Contender]) -> list[Figure]:
        """Validation score against the key that was tuned, where it is one: a figure a key."""
        figures = []
        for key in dict.fromkeys(group.curve["key"] for group in groups if group.curve):
            series = []
            for group in groups:
                if group.curve and group.curve["key"] == key:
                    points = _tuned(group.curve["points"])
                    series.append(Series(group.label, self.styles[group.label], points))
            values = {point.x for one in series for point in one.points}
            if len(values) > 1:
                setting = groups[0].setting.text
                figures.append(
                    Figure(
                        self._name("validation", "by", key, setting),
                        _at(f"Validation {self.what} against {short(key)}", setting),
                        "What the choice was made by: the mean over seeds; bars from the lowest "
                        "seed to the highest.",
                        Axis(short(key), log=min(values) > 0),
                        Axis(f"validation {self.what}"),
                        [one for one in series if one.points],
                    )
                )
        return figures

    def curves(self, groups: list[Contender], split: str) -> Figure | None:
        """Learning curves: validation score or training loss by step."""
        metric = self.comparison.score if split == "validation" else "loss"
        series = []
        for group in groups:
            points = _curve(group.runs, split, metric)
            if points:
                runs = links(self.comparison, group.runs)
                points = [point._replace(runs=runs) for point in points]
                series.append(Series(group.label, self.styles[group.label], points, "curve"))
        if not series:
            return None
        shown = f"validation {self.what}" if split == "validation" else "training loss (nats)"
        title = shown.capitalize().removesuffix(" (nats)")
        positive = all(point.y > 0 for one in series for point in one.points)
        if split == "validation":
            steps = {point.x for one in series for point in one.points}
            ends = min(steps), max(steps)
            contents = [content for group in groups for content in results_of(group.runs)]
            series = with_levels(series, [(x, content) for x in ends for content in contents])
        return Figure(
            self._name("curves", split, groups[0].setting.text),
            _at(f"{title} by step", groups[0].setting.text),
            "Mean over seeds; bands from the lowest seed to the highest.",
            Axis("step", "count"),
            Axis(shown, log=split == "train" and positive),
            series,
        )

    def _point(self, group: Contender, x: Any, note: str) -> Mark:
        spread = group.test
        assert spread.mean is not None
        seeds = f"{group.seeds} seed{'s' * (group.seeds != 1)}"
        told = ", ".join(filter(None, [note, words(group.chosen, list(group.chosen), "="), seeds]))
        return Mark(
            x, spread.mean, spread.low, spread.high, told, links(self.comparison, group.runs)
        )


def with_front(series: list[Series], higher_is_better: bool) -> list[Series]:
    """The series and their Pareto front; its points say so."""
    front = pareto([point for one in series for point in one.points], higher_is_better)
    told = []
    for one in series:
        points = [
            p._replace(note=", ".join(filter(None, [p.note, "on the Pareto front"])))
            if p in front
            else p
            for p in one.points
        ]
        told.append(one._replace(points=points))
    if len(front) > 1:
        told.append(Series("Pareto front", GREY, front, "front"))
    return told


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
    marks = (_of_seeds(step, values) for step, values in sorted(by_step.items()))
    return [mark for mark in marks if mark is not None]


def _tuned(rungs: list[Content]) -> list[Mark]:
    """Of each value of the key that was tuned the scores of its seeds."""
    numbers = [(number(r["value"]), list(map(number, r["validation"]))) for r in rungs]
    marks = [_of_seeds(x, [y for y in ys if y is not None]) for x, ys in numbers if x is not None]
    return [mark for mark in marks if mark is not None]


def _of_seeds(x: Number, values: list[Number]) -> Mark | None:
    """The mean of some scores and their range; None of none."""
    if not values:
        return None
    ends = (min(values), max(values)) if len(values) > 1 else (None, None)
    return Mark(x, statistics.fmean(values), *ends)


def short(key: str) -> str:
    """The last part of a config's key, in words."""
    return readable(key.rsplit(".", 1)[-1].replace("_", " "))


def _stored_lengths(run: StoredRun, score: str) -> tuple[str, list[Mark]]:
    """A split, the test where it was scored, and its scores by length at the last step."""
    splits = run.last_lengths
    split = "test" if "test" in splits else next(iter(splits), "")
    points = []
    for length, entry in splits.get(split, {}).items():
        found = entry["metrics"].get(score)
        if found is not None and number(found["mean"]) is not None:
            low, high = number(found["low"]), number(found["high"])
            points.append(Mark(int(length), found["mean"], low, high, split))
    return split, sorted(points, key=lambda point: point.x)
