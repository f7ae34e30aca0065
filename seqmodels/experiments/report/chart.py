"""A figure as a chart of Plotly's, which the page draws and which answers to the mouse."""

import math
from html import escape
from typing import Any

from seqmodels.experiments.report.figure import Axis, Figure, Point, Series, hover
from seqmodels.experiments.report.values import Number, brief, shown


def to_plotly(figure: Figure) -> str:
    """The chart as JSON: traces and layout. The page fills in the colours of its theme."""
    import plotly.graph_objects as go  # takes a second
    import plotly.io

    traces = [trace for series in figure.series for trace in _traces(figure, series)]
    layout: dict[str, Any] = {
        "template": "none",
        "xaxis": _axis(figure.x, _values(figure, "x")),
        "yaxis": _axis(figure.y, _values(figure, "y")),
        "margin": {"l": 64, "r": 12, "t": 8, "b": 48},
        "legend": {
            "orientation": "h",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "x": 0,
            "xanchor": "left",
        },
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": True,
        "dragmode": "zoom",
    }
    made = go.Figure(traces, layout)
    made.layout.template = None
    text = plotly.io.to_json(made, validate=True)
    assert text is not None
    return text


def _plotly_text(text: str) -> str:
    """Text that Plotly takes for no markup and no template; it turns the entities back."""
    return escape(text, quote=False).replace("%{", "%&#123;")


def _traces(figure: Figure, series: Series) -> list[dict[str, Any]]:
    """The line or the marks; before them, the band of a curve."""
    style, points = series.style, series.points
    trace: dict[str, Any] = {
        "type": "scatter",
        "name": _plotly_text(brief(series.name)),
        "x": [point.x for point in points],
        "y": [point.y for point in points],
        "meta": {"light": style.light, "dark": style.dark},
        "legendgroup": style.light + style.marker,
    }
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
        "mode": {"line": "lines+markers", "points": "markers", "curve": "lines+markers"}[
            series.form
        ],
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
    return [trace]


def _band(trace: dict[str, Any], points: list[Point]) -> dict[str, Any]:
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


def _values(figure: Figure, side: str) -> list[Number]:
    points = [point for series in figure.series for point in series.points]
    values = [getattr(point, side) for point in points]
    if side == "y":
        values += [end for p in points for end in (p.low, p.high) if end is not None]
    return values


def _axis(axis: Axis, values: list[Number]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "title": {"text": _plotly_text(axis.title)},
        "automargin": True,
        "zeroline": False,
        "type": "log" if axis.log else "linear",
    }
    ticks = log_ticks(axis, values)
    if ticks:
        made |= {"tickvals": ticks, "ticktext": [shown(tick, axis.kind) for tick in ticks]}
    elif axis.kind == "count":
        made |= {"tickformat": ","}
    return made


def log_ticks(axis: Axis, values: list[Number]) -> list[Number]:
    """Where a logarithmic axis is marked: lengths and bytes at powers of two, others by tens.

    At most 8 marks; over less than a factor of 30 also at 2 and 5 times a power of ten.

    >>> log_ticks(Axis("length", "count", log=True), [64, 100, 256])
    [64, 128, 256]
    >>> log_ticks(Axis("time", "seconds", log=True), [0.003, 0.2])
    [0.001, 0.01, 0.1, 1.0]
    """
    values = [value for value in values if value > 0]
    if not axis.log or not values:
        return []
    low, high = min(values), max(values)
    base = 2 if axis.title == "length" or axis.kind == "bytes" else 10
    first = math.floor(math.log(low, base) + 1e-9)
    last = math.ceil(math.log(high, base) - 1e-9)
    if base == 10 and high / low < 30:
        found = [step * 10.0**power for power in range(first, last + 1) for step in (1, 2, 5)]
        return [tick for tick in found if low / 2.1 <= tick <= high * 2.1]
    every = math.ceil((last - first + 1) / 8)
    powers = range(first, last + 1, every)
    if base == 2 and first >= 0:
        return [2**power for power in powers]
    return [float(base) ** power for power in powers]
