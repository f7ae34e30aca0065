"""A figure as a PNG, by matplotlib."""

from pathlib import Path
from typing import Any

from seqmodels.drawing import literal, mark_log_axis, save
from seqmodels.report.chart import axis_marks, better_word, bounds, corners, values_of
from seqmodels.report.figure import Figure, Series, legend
from seqmodels.report.heat_map import HeatMap
from seqmodels.report.values import brief

HEIGHT, NAME = 4.2, 0.19
"""Inches of a picture at least, and of a name in its legend."""


def draw(figure: Figure, path: Path) -> None:
    from matplotlib.figure import Figure as Canvas  # here, because the import takes a second

    canvas = Canvas(figsize=(7, HEIGHT), dpi=130, layout="constrained")
    axes = canvas.subplots()
    handles, names = [], []
    for series, name in zip(figure.series, legend(figure), strict=True):
        handle = _draw(axes, series)
        if series.form not in ("fit", "missing"):
            handles.append(handle)
            names.append(_literal(name))
    axes.set_title(_literal(figure.title), fontsize=11, loc="left")
    if figure.x.log:
        axes.set_xscale("log")
    if figure.y.log:
        axes.set_yscale("log")
    for axis, described, side in ((axes.xaxis, figure.x, "x"), (axes.yaxis, figure.y, "y")):
        axis.set_label_text(_literal(described.title))
        mark_log_axis(axis, *axis_marks(described, values_of(figure, side)))
    if figure.better:
        edges = bounds(figure)
        if outline := corners(figure, edges):
            axes.fill(*zip(*outline, strict=True), color="#808080", alpha=0.12, lw=0)
        axes.set(xlim=edges[0], ylim=edges[1])
        _write_better(axes, figure.better)
    for place, word in figure.at:
        axes.axvline(place, color="#808080", lw=1, ls=(0, (1, 1)))
        axes.annotate(_literal(word), (place, 1), xycoords=("data", "axes fraction"), fontsize=7)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    canvas.set_figheight(max(HEIGHT, 0.3 + NAME * len(names)))
    canvas.legend(handles, names, loc="outside right center", frameon=False, fontsize=9)
    save(canvas, path)


def _write_better(axes: Any, better: tuple[str, str]) -> None:
    left, top = better[0] == "less", better[1] == "more"
    sides = {"ha": "left" if left else "right", "va": "top" if top else "bottom"}
    where = (0.01 if left else 0.99, 0.99 if top else 0.01)
    axes.text(*where, better_word(better), transform=axes.transAxes, color="#6B6B6B", **sides)


def draw_heat_map(found: HeatMap, path: Path) -> None:
    from matplotlib.colors import LinearSegmentedColormap  # each import takes a second
    from matplotlib.figure import Figure as Canvas

    shades = [[c.shade if c is not None else float("nan") for c in row] for _, row in found.rows]
    size = (2.2 + 0.75 * len(found.columns), 1.2 + 0.28 * len(found.rows))
    canvas = Canvas(figsize=size, dpi=130, layout="constrained")
    axes = canvas.subplots()
    colours = LinearSegmentedColormap.from_list("heat", ["#FFFFFF", "#5AA9E6"])
    axes.imshow(shades, cmap=colours, vmin=0, vmax=1, aspect="auto")
    names = [_literal("\n".join(brief(part) for part in column)) for column in found.columns]
    axes.set_xticks(range(len(names)), names, fontsize=7)
    axes.set_yticks(range(len(found.rows)), [_literal(label) for label, _ in found.rows])
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    for y, (_, row) in enumerate(found.rows):
        for x, cell in enumerate(row):
            if cell is not None:
                axes.text(x, y, _literal(cell.text), ha="center", va="center", fontsize=8)
    save(canvas, path)


def _literal(text: str) -> str:
    return literal(brief(text))


def _draw(axes: Any, series: Series) -> Any:
    style, points = series.style, series.points
    x, y = [point.x for point in points], [point.y for point in points]
    if series.form == "front":
        return axes.step(x, y, where="post", color=style.light, ls=(0, (1, 1)), lw=1.5)[0]
    if series.form == "fit":
        return axes.plot(x, y, color=style.light, ls=(0, (5, 2)), lw=1, alpha=0.7)[0]
    if series.form == "level":
        return axes.plot(x, y, color=style.light, ls=style.png_dash, lw=1.5)[0]
    if series.form == "missing":
        look = {"ls": "", "marker": "x", "ms": 7, "mew": 1.5}
        return axes.plot(x, y, color=style.light, **look)[0]
    if series.end:
        place = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(_literal(series.end), (x[-1], y[-1]), fontsize=7, **place)
    for point in points:
        if point.seeds:
            look = {"ls": "", "marker": "o", "ms": 2, "alpha": 0.45}
            axes.plot([point.x] * len(point.seeds), point.seeds, color=style.light, **look)
    low = [p.low if p.low is not None else p.y for p in points]
    high = [p.high if p.high is not None else p.y for p in points]
    if series.form == "curve":
        axes.fill_between(x, low, high, color=style.light, alpha=0.15, lw=0)
        look = {"ls": style.png_dash, "ms": 4, "markevery": max(1, len(points) // 12)}
        return axes.plot(x, y, color=style.light, lw=1.5, marker=style.png_marker, **look)[0]
    ends = [
        [max(0, b - a) for a, b in zip(low, y, strict=True)],
        [max(0, b - a) for a, b in zip(y, high, strict=True)],
    ]
    look = {"ls": style.png_dash if series.form == "line" else "", "ms": 6, "capsize": 3}
    look |= {"marker": style.png_marker, "elinewidth": 1}
    return axes.errorbar(x, y, yerr=ends, color=style.light, lw=1.5, **look)
