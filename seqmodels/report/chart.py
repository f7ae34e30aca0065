"""A figure as a chart of plotly.js, which the page draws and which answers to the mouse."""

import itertools
import math
from html import escape
from typing import Any

from seqmodels.drawing import distinct_texts, log_ticks
from seqmodels.report.figure import Axis, Figure, Mark, Series, hover, legend
from seqmodels.report.values import Number, shown

Chart = dict[str, Any]
"""Traces and layout, as plotly.js takes them."""
HEIGHT = 300
"""Pixels of a chart's area, by which labels are kept apart."""
LABEL = 15
"""Pixels between two labels."""
_POWERS = frozenset(2**n for n in range(64))


def to_chart(figure: Figure) -> Chart:
    """The figure's traces and layout. The page fills in the colours of its theme."""
    named = zip(figure.series, legend(figure), strict=True)
    traces = [trace for series, name in named for trace in _traces(figure, series, name)]
    corner = {"yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "xanchor": "left"}
    notes = [*_end_labels(figure), *(_word_at(figure, *place) for place in figure.at)]
    layout: Chart = {
        "xaxis": _axis(figure.x, values_of(figure, "x")),
        "yaxis": _axis(figure.y, values_of(figure, "y")),
        "margin": {"l": 64, "r": 110 if any(s.end for s in figure.series) else 12},
        "legend": {"orientation": "h", **corner},
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": True,
        "dragmode": "zoom",
    }
    layout["margin"] |= {"t": 20 if figure.at else 8, "b": 48}
    if figure.better:
        edges = bounds(figure)
        for side, ends in zip(("x", "y"), edges, strict=True):
            if getattr(figure, side).log:
                ends = tuple(math.log10(end) for end in ends)
            layout[f"{side}axis"]["range"] = list(ends)
        traces = [*_beaten(figure, edges), *traces]
        notes.append(_better(figure.better))
    if notes:
        layout["annotations"] = notes
    if figure.at:
        layout["shapes"] = [_line_at(place) for place, _ in figure.at]
    return {"data": traces, "layout": layout}


Ends = tuple[Number, Number]


def bounds(figure: Figure) -> tuple[Ends, Ends]:
    """The ends of both axes: somewhat more than what is shown."""
    found = []
    for side, axis in (("x", figure.x), ("y", figure.y)):
        values = [v for v in values_of(figure, side) if v > 0 or not axis.log]
        low, high = min(values), max(values)
        if axis.log:
            pad = max((high / low) ** 0.07, 1.1)
            found.append((low / pad, high * pad))
        else:
            pad = (high - low) * 0.07 or abs(high) * 0.1 or 1
            found.append((low - pad, high + pad))
    return found[0], found[1]


def corners(figure: Figure, edges: tuple[Ends, Ends]) -> list[tuple[Number, Number]]:
    """The outline of what the front beats, down to the worse edges; nothing without a front."""
    fronts = [series.points for series in figure.series if series.form == "front"]
    if not fronts or not fronts[0] or figure.better is None:
        return []
    (front,) = fronts
    x, y = (ends[way == "less"] for ends, way in zip(edges, figure.better, strict=True))
    steps = [(front[0].x, y), (front[0].x, front[0].y)]
    for a, b in itertools.pairwise(front):
        steps += [(b.x, a.y), (b.x, b.y)]
    return [*steps, (x, front[-1].y), (x, y)]


def _beaten(figure: Figure, edges: tuple[Ends, Ends]) -> list[Chart]:
    outline = corners(figure, edges)
    if not outline:
        return []
    x, y = zip(*outline, strict=True)
    shade = {"fill": "toself", "fillcolor": "rgba(128,128,128,0.12)", "mode": "none"}
    return [
        {"type": "scatter", "x": list(x), "y": list(y), **shade}
        | {"hoverinfo": "skip", "showlegend": False, "meta": {}}
    ]


def better_word(better: tuple[str, str]) -> str:
    """An arrow to the better corner.

    >>> better_word(("less", "more")), better_word(("more", "less"))
    ('↖ better', 'better ↘')
    """
    x, y = better
    return ("↖↙"[y == "less"] + " better") if x == "less" else ("better " + "↗↘"[y == "less"])


def _better(better: tuple[str, str]) -> Chart:
    x, y = better
    left, top = x == "less", y == "more"
    place = {"xref": "paper", "yref": "paper", "x": 0.01 if left else 0.99, "y": 0.99 if top else 0}
    anchors = {"xanchor": "left" if left else "right", "yanchor": "top" if top else "bottom"}
    return {"text": better_word(better), "showarrow": False, **place, **anchors}


def _line_at(place: Number) -> Chart:
    line = {"color": "rgba(128,128,128,0.8)", "width": 1, "dash": "dot"}
    ends = {"x0": place, "x1": place, "y0": 0, "y1": 1}
    return {"type": "line", "xref": "x", "yref": "paper", **ends, "line": line, "layer": "below"}


def _word_at(figure: Figure, place: Number, word: str) -> Chart:
    x = math.log10(place) if figure.x.log else place
    where = {"x": x, "xref": "x", "y": 1, "yref": "paper", "yanchor": "bottom", "xanchor": "center"}
    return {"text": _plotly_text(word), "showarrow": False, "font": {"size": 11}, **where}


def _end_labels(figure: Figure) -> list[Chart]:
    """What is written at the ends of lines, kept apart."""
    ended = [(series, series.points[-1]) for series in figure.series if series.end]
    if not ended:
        return []
    if figure.y.log:
        low, high = (math.log10(end) for end in bounds(figure)[1])
        heights = [(math.log10(p.y) - low) / (high - low) * HEIGHT for _, p in ended]
    else:
        low, high = bounds(figure)[1]
        heights = [(p.y - low) / (high - low) * HEIGHT for _, p in ended]
    made = []
    for (series, point), height, placed in zip(ended, heights, kept_apart(heights), strict=True):
        x, y = (
            math.log10(value) if axis.log else value
            for value, axis in ((point.x, figure.x), (point.y, figure.y))
        )
        text = {"text": _plotly_text(series.end), "font": {"size": 11}, "showarrow": False}
        shift = {"xshift": 9, "yshift": round(placed - height, 1)}
        made.append({"x": x, "y": y, "xanchor": "left", "yanchor": "middle", **text, **shift})
    return made


def kept_apart(heights: list[Number], gap: Number = LABEL) -> list[Number]:
    """Heights moved up as little as it takes that no two are nearer than the gap.

    >>> kept_apart([0.0, 40.0, 5.0], gap=10)
    [0.0, 40.0, 10.0]
    """
    placed = list(heights)
    order = sorted(range(len(heights)), key=lambda place: heights[place])
    for below, above in itertools.pairwise(order):
        placed[above] = max(placed[above], placed[below] + gap)
    return placed


def _plotly_text(text: str) -> str:
    """Text that Plotly takes for no markup and no template; it turns the entities back."""
    return escape(text, quote=False).replace("%{", "%&#123;")


def _traces(figure: Figure, series: Series, name: str) -> list[dict[str, Any]]:
    """The line or the marks; before them, the band of a curve."""
    style, points = series.style, series.points
    trace: dict[str, Any] = {
        "type": "scatter",
        "name": _plotly_text(name),
        "x": [point.x for point in points],
        "y": [point.y for point in points],
        "meta": {"light": style.light, "dark": style.dark},
        "legendgroup": style.light + style.marker,
    }
    if series.form == "missing":
        told = [[_plotly_text(series.name), _plotly_text(point.note)] for point in points]
        look = {"symbol": "circle-x-open", "size": 13, "color": style.light}
        texts = [f"<b>{first}</b><br>{rest}" for first, rest in told]
        trace |= {"mode": "markers", "marker": look, "hoverinfo": "text", "hovertext": texts}
        return [trace | {"showlegend": False}]
    if not series.is_data:
        shape = "hv" if series.form == "front" else "linear"
        dash = {"front": "dot", "fit": "dash"}.get(series.form, style.dash)
        line = {"color": style.light, "dash": dash, "width": 1.5, "shape": shape}
        trace |= {"mode": "lines", "line": line, "hoverinfo": "skip"}
        return [trace | {"showlegend": series.form != "fit"}]
    lines = [[_plotly_text(line) for line in hover(figure, series, point)] for point in points]
    trace |= {
        "hoverinfo": "text",
        "hovertext": ["<br>".join([f"<b>{first}</b>", *rest]) for first, *rest in lines],
        "mode": "markers" if series.form == "points" else "lines+markers",
        "line": {"color": style.light, "dash": style.dash, "width": 2},
        "marker": {"color": style.light, "symbol": style.marker, "size": 10},
    }
    ranged = [point for point in points if point.low is not None and point.high is not None]
    if series.form == "curve":
        trace["marker"]["size"] = 6 if len(points) <= 30 else 3
        return ([_band(trace, ranged)] if len(ranged) > 1 else []) + [trace]
    if ranged:
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [(p.high if p.high is not None else p.y) - p.y for p in points],
            "arrayminus": [p.y - (p.low if p.low is not None else p.y) for p in points],
            "thickness": 1.5,
            "width": 4,
            "color": style.light,
        }
    return [*_seeds(trace, points), trace]


def _seeds(trace: Chart, points: list[Mark]) -> list[Chart]:
    """A dot for each seed."""
    dots = [(point.x, value) for point in points for value in point.seeds]
    if not dots:
        return []
    marker = {"symbol": "circle", "size": 4, "opacity": 0.45, "color": trace["marker"]["color"]}
    held = {key: trace[key] for key in ("type", "name", "meta", "legendgroup")}
    x, y = zip(*dots, strict=True)
    return [
        {**held, "x": list(x), "y": list(y), "mode": "markers", "marker": marker}
        | {"hoverinfo": "skip", "showlegend": False}
    ]


def _band(trace: dict[str, Any], points: list[Mark]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": [p.x for p in points] + [p.x for p in reversed(points)],
        "y": [p.high for p in points] + [p.low for p in reversed(points)],
        "fill": "toself",
        "mode": "none",
        "hoverinfo": "skip",
        "showlegend": False,
        "legendgroup": trace["legendgroup"],
        "name": trace["name"],
        "meta": trace["meta"] | {"band": True},
    }


def values_of(figure: Figure, side: str) -> list[Number]:
    """All that a figure shows along "x" or "y", the ends of ranges too."""
    points = [point for series in figure.series for point in series.points]
    values = [getattr(point, side) for point in points]
    if side == "y":
        values += [v for p in points for v in (p.low, p.high, *p.seeds) if v is not None]
    return values


def _axis(axis: Axis, values: list[Number]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "title": {"text": _plotly_text(axis.title)},
        "automargin": True,
        "zeroline": False,
        "type": "log" if axis.log else "linear",
    }
    ticks, texts = axis_marks(axis, values)
    if ticks:
        made |= {"tickvals": ticks, "ticktext": texts}
    elif axis.kind == "count":
        made |= {"tickformat": ","}
    return made


def axis_marks(axis: Axis, values: list[Number]) -> tuple[list[Number], list[str]]:
    """Where a logarithmic axis is marked, and with what; nothing of one that isn't.

    Lengths, bytes and counts that double at powers of two, others at powers of ten, where the
    values allow it.

    >>> axis_marks(Axis("time", "seconds", log=True), [0.0301, 0.0304])
    ([0.0301, 0.0302, 0.0303, 0.0304], ['30.1 ms', '30.2 ms', '30.3 ms', '30.4 ms'])
    >>> axis_marks(Axis("pairs", "count", log=True), [4, 8, 16])
    ([4, 8, 16], ['4', '8', '16'])
    """
    if not axis.log:
        return [], []
    largest = max((value for value in values if value > 0), default=1)
    unit = 1024 ** max(0, int(math.log2(largest) // 10)) if axis.kind == "bytes" else 1
    doubles = axis.kind == "count" and all(value in _POWERS for value in values)
    base = 2 if doubles or axis.title == "length" or axis.kind == "bytes" else 10
    ticks = log_ticks(values, base, unit)
    return ticks, distinct_texts(ticks, lambda tick, more: shown(tick, axis.kind, more))
