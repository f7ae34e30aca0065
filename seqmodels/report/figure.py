"""A figure of a report, whatever draws it: its series, and the table of its data."""

from typing import Any, Literal, NamedTuple

from seqmodels.report.styles import Style
from seqmodels.report.table import Column, Link, Row, Table
from seqmodels.report.values import Kind, Number, brief, shown

Better = Literal["less", "more"]


class Axis(NamedTuple):
    """What is measured along an axis, and whether logarithmically."""

    title: str
    kind: Kind = "number"
    log: bool = False


class Mark(NamedTuple):
    """A value at x, with the ends of its interval, a remark, its runs and each seed's value."""

    x: Number
    y: Number
    low: Number | None = None
    high: Number | None = None
    note: str = ""
    runs: tuple[Link, ...] = ()
    seeds: tuple[Number, ...] = ()


class Series(NamedTuple):
    """Points of one name.

    Of the forms, ``line`` joins marked points with ranges, ``points`` doesn't join them, and
    ``curve`` has a band for the ranges and no marks. ``fit``, ``front`` and ``level`` are derived:
    they are no part of the data. Nor is ``missing``, marks where something should be and isn't.
    """

    name: str
    style: Style
    points: list[Mark]
    form: Literal["line", "points", "curve", "fit", "front", "level", "missing"] = "line"
    end: str = ""
    """What is written at its last point."""

    @property
    def is_data(self) -> bool:
        """Whether the points were measured."""
        return self.form in ("line", "points", "curve")


class Figure(NamedTuple):
    """A figure. ``name`` is that of its files, of letters, digits and hyphens."""

    name: str
    title: str
    description: str
    x: Axis
    y: Axis
    series: list[Series]
    wide: bool = False
    """Whether it takes the page's whole width."""
    better: tuple[Better, Better] | None = None
    """Which way along x and along y is better, where the figure has a front."""
    at: tuple[tuple[Number, str], ...] = ()
    """Places along x that a line and a word mark, such as the length of training."""


class Choice(NamedTuple):
    """Figures of one question, of which a reader chooses one by menus."""

    name: str
    title: str
    menus: tuple[str, ...]
    options: list[tuple[tuple[str, ...], Figure]]
    """Of each figure its entry in every menu; the first is shown first."""
    wide: bool = True


def choice(name: str, title: str, menus: tuple[str, ...], options: Any) -> Choice | Figure | None:
    """A choice of the figures that are there; a single one as itself."""
    there = [(labels, figure) for labels, figure in options if figure is not None]
    if len(there) < 2:
        return there[0][1] if there else None
    return Choice(name, title, menus, there)


def data_table(figure: Figure) -> Table:
    """What the figure shows, for those who can't see it and for programs."""
    points = [
        (series, point) for series in figure.series if series.is_data for point in series.points
    ]
    ranged = any(point.low is not None for _, point in points)
    noted = any(point.note for _, point in points)
    linked = any(point.runs for _, point in points)
    columns = [Column("name"), Column(figure.x.title, figure.x.kind)]
    columns.append(Column(figure.y.title, figure.y.kind))
    if ranged:
        columns += [Column("low", figure.y.kind), Column("high", figure.y.kind)]
    columns += [Column("note")] * noted + [Column("from", "links")] * linked
    rows = []
    for series, point in points:
        values = (series.name, point.x, point.y)
        values += (point.low, point.high) if ranged else ()
        values += (point.note,) if noted else ()
        values += (point.runs,) if linked else ()
        rows.append(Row(values))
    return Table(figure.name, figure.title, figure.description, columns, rows)


def legend(figure: Figure) -> list[str]:
    """The name of each series, cut to what a legend holds; no two that differ become the same."""
    made: dict[str, str] = {}
    for name in dict.fromkeys(series.name for series in figure.series):
        short, count = brief(name), 1
        while short in made.values():
            count += 1
            short = f"{name[:58]}… ({count})"
        made[name] = short
    return [made[series.name] for series in figure.series]


def hover(figure: Figure, series: Series, point: Mark) -> list[str]:
    """What is said of a point that is pointed at, by lines; the first is its name."""
    y = shown(point.y, figure.y.kind)
    if point.low is not None and point.high is not None and point.low != point.high:
        y += f" ({shown(point.low, figure.y.kind)} to {shown(point.high, figure.y.kind)})"
    lines = [series.name, f"{figure.x.title}: {shown(point.x, figure.x.kind)}"]
    return [*lines, f"{figure.y.title}: {y}", *([point.note] if point.note else [])]


def pareto(points: list[Mark], higher_is_better: bool, x: Better = "less") -> list[Mark]:
    """The points that no other beats: none as good or better along x has as good a y or better.

    >>> found = pareto([Mark(1, 0.5), Mark(2, 0.4), Mark(3, 0.9)], higher_is_better=True)
    >>> [point.x for point in found]
    [1, 3]
    """
    sign = 1 if higher_is_better else -1
    front: list[Mark] = []
    way = 1 if x == "less" else -1
    for point in sorted(points, key=lambda p: (way * p.x, -sign * p.y)):
        if not front or sign * point.y > sign * front[-1].y:
            front.append(point)
    return front
