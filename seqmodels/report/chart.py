"""A figure as a chart of Plotly's, which the page draws and which answers to the mouse."""

import math
from html import escape
from typing import Any

from seqmodels.drawing import distinct_texts, log_ticks
from seqmodels.report.figure import Axis, Figure, Mark, Series, hover, legend
from seqmodels.report.values import Number, shown


def to_plotly(figure: Figure) -> str:
    """The chart as JSON: traces and layout. The page fills in the colours of its theme."""
    import plotly.graph_objects as go  # takes a second
    import plotly.io

    named = zip(figure.series, legend(figure), strict=True)
    traces = [trace for series, name in named for trace in _traces(figure, series, name)]
    corner = {"yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "xanchor": "left"}
    layout: dict[str, Any] = {
        "template": "none",
        "xaxis": _axis(figure.x, values_of(figure, "x")),
        "yaxis": _axis(figure.y, values_of(figure, "y")),
        "margin": {"l": 64, "r": 12, "t": 8, "b": 48},
        "legend": {"orientation": "h", **corner},
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
    return [trace]


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
        values += [end for p in points for end in (p.low, p.high) if end is not None]
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

    Lengths and bytes at powers of two, others at powers of ten, where the values allow it.

    >>> axis_marks(Axis("time", "seconds", log=True), [0.0301, 0.0304])
    ([0.0301, 0.0302, 0.0303, 0.0304], ['30.1 ms', '30.2 ms', '30.3 ms', '30.4 ms'])
    """
    if not axis.log:
        return [], []
    largest = max((value for value in values if value > 0), default=1)
    unit = 1024 ** max(0, int(math.log2(largest) // 10)) if axis.kind == "bytes" else 1
    base = 2 if axis.title == "length" or axis.kind == "bytes" else 10
    ticks = log_ticks(values, base, unit)
    return ticks, distinct_texts(ticks, lambda tick, more: shown(tick, axis.kind, more))
