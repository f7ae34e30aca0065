"""A figure as a PNG, by matplotlib."""

from pathlib import Path
from typing import Any

from seqmodels.drawing import literal, mark_log_axis, save
from seqmodels.report.chart import axis_marks, values_of
from seqmodels.report.figure import Figure, Series, legend
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
        if series.form != "fit":
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
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    canvas.set_figheight(max(HEIGHT, 0.3 + NAME * len(names)))
    canvas.legend(handles, names, loc="outside right center", frameon=False, fontsize=9)
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
