"""Figures of experiments, of what is committed, in the report's own forms and colours of mixers."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.cells import Cell, first_of
from seqmodels.report.figure import Axis, Figure, Mark, Series
from seqmodels.report.heat_map import Cell as Shade
from seqmodels.report.heat_map import HeatMap
from seqmodels.report.intervals import seeds_mark
from seqmodels.report.picture import draw, draw_heat_map
from seqmodels.report.styles import Styles
from seqmodels.scaling.files import DONE
from seqmodels.scaling.results import QUANTITIES, range_of, value_of

SHARE = (0, 1)
"""What an accuracy can be."""
KINDS: dict[str, Any] = {"seconds": "seconds", "bytes": "bytes", "flops": "flops"}
Points = Mapping[Any, Sequence[float]]
"""By place along x the score of each seed."""


def save(figure: Figure | HeatMap, folder: Path) -> str:
    """Draws a figure into a folder; the Markdown that shows it there."""
    file = folder / f"{figure.name}.png"
    if isinstance(figure, HeatMap):
        draw_heat_map(figure, file)
    else:
        draw(figure, file)
    return f"![{figure.title}]({file.name})"


def curves(
    name: str,
    title: str,
    x: Axis,
    found: Mapping[str, Points],
    y: str = "test accuracy",
    at: tuple[tuple[float, str], ...] = (),
    style: Mapping[str, str] | None = None,
    log_y: bool = False,
) -> list[Figure]:
    """A line a name, with each seed and the interval of the mean; no figure of no scores.

    Args:
      found: by name; that of a preset has its colour, and so has what ``style`` says is one.
      at: places along x that are marked.
    """
    styles = Styles()
    lines = []
    for label, points in found.items():
        within = (None, None) if log_y else SHARE
        marks = [seeds_mark(place, values, within) for place, values in points.items()]
        there = [mark for mark in marks if mark is not None]
        if there:
            lines.append(Series(label, styles[(style or {}).get(label, label)], there))
    if not lines:
        return []
    return [Figure(name, title, title, x, Axis(y, log=log_y), lines, at=at)]


def by_length(
    name: str, title: str, cells: Mapping[str, Cell | None], trained: int, **more: Any
) -> list[Figure]:
    """Scores at the lengths that were asked, by name."""
    found = {
        label: {length: cell.at(length) for length in cell.lengths}
        for label, cell in cells.items()
        if cell is not None
    }
    at = ((trained, "trained"),)
    return curves(name, title, Axis("length", "count", log=True), found, at=at, **more)


def by_distance(
    name: str, title: str, cells: Mapping[str, Cell | None], length: int, **more: Any
) -> list[Figure]:
    """Scores by how far back what is asked lies, at one length, by name."""
    found = {
        label: {
            first_of(value): scores for value, scores in cell.slices(length, "distance").items()
        }
        for label, cell in cells.items()
        if cell is not None
    }
    axis = Axis("distance, at least", "count", log=True)
    return curves(name, title, axis, found, **more)


def costs(
    name: str, title: str, scaling: Any, quantity: str, mixers: Sequence[str] | None = None
) -> list[Figure]:
    """A cost against the length, of the mixers of a scaling table, or of some."""
    if scaling is None:
        return []
    styles, lines = Styles(), []
    for mixer in mixers or dict.fromkeys(cell["mixer"] for cell in scaling["cells"]):
        marks = []
        for cell in scaling["cells"]:
            value = value_of(cell, quantity)
            if cell["mixer"] == mixer and cell["status"] in DONE and value:
                marks.append(Mark(cell["length"], value, *range_of(cell, quantity)))
        if marks:
            lines.append(Series(mixer, styles[mixer], marks))
    if not lines:
        return []
    kind = KINDS.get(quantity.rpartition("_")[2], "number")
    said = QUANTITIES.get(quantity, quantity.replace("_", " "))
    axes = Axis("length", "count", log=True), Axis(said, kind, log=True)
    return [Figure(name, title, title, *axes, lines)]


def scores_map(
    name: str,
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[str, str], Cell | None],
    shades: Mapping[str, tuple[float, float]] | None = None,
) -> list[HeatMap]:
    """Mean test scores of rows by columns, in per cent; no figure of no scores.

    Args:
      shades: by column the scores that are white and blue; by default chance, and 1.
    """
    made: list[tuple[str, list[Shade | None]]] = []
    for row in rows:
        found = [_shade(cells.get((row, column)), (shades or {}).get(column)) for column in columns]
        if any(found):
            made.append((row, found))
    if not made:
        return []
    return [HeatMap(name, title, title, [(column, "") for column in columns], made)]


def _shade(cell: Cell | None, ends: tuple[float, float] | None) -> Shade | None:
    if cell is None:
        return None
    mean, first = statistics.fmean(cell.tests), cell.chosen[0]
    is_share = first["higher_is_better"]
    low, high = ends or (first.get("chance", 0.0), 1.0 if is_share else 0.0)
    share = (mean - low) / (high - low) if high != low else 1.0
    text = f"{100 * mean:.1f}" if is_share else f"{mean:.3g}"
    return Shade(mean, min(max(share, 0.0), 1.0), text, text, (), [])
