"""Colours, markers and dashes: the same for a name in every figure of a report.

The first colours are Okabe and Ito's (2008), which colour-blind readers tell apart; their yellow is
left out, too pale on white. Markers and dashes differ too, for print in grey.
"""

import colorsys
from collections.abc import Iterable
from typing import NamedTuple


class Style(NamedTuple):
    """How a name is drawn."""

    light: str
    """On a light page and in a PNG."""
    dark: str
    marker: str
    """Plotly's name."""
    png_marker: str
    """matplotlib's."""
    dash: str
    png_dash: str | tuple[int, tuple[int, ...]]


_COLOURS = (
    ("#0072B2", "#3C9BD6"),  # lighter on dark, for contrast
    ("#D55E00", "#E8772E"),
    ("#009E73", "#1DB58A"),
    ("#CC79A7", "#D98FBA"),
    ("#E69F00", "#E69F00"),
    ("#56B4E9", "#7CC8F2"),
    ("#000000", "#F2F2F2"),
)
_MARKERS = (
    ("circle", "o"),
    ("square", "s"),
    ("diamond", "D"),
    ("triangle-up", "^"),
    ("x", "X"),
    ("triangle-down", "v"),
    ("cross", "P"),
    ("star", "*"),
)
_DASHES: tuple[tuple[str, str | tuple[int, tuple[int, ...]]], ...] = (
    ("solid", "-"),
    ("dash", (0, (5, 2))),
    ("dot", (0, (1, 1))),
    ("dashdot", (0, (5, 2, 1, 2))),
    ("longdash", (0, (9, 3))),
)
GREY = Style("#6B6B6B", "#A0A0A0", "circle", "o", "dot", (0, (1, 1)))
"""Of what belongs to no name."""


class Styles(dict[str, Style]):
    """A style for each name, given when it is first asked for; no two have one colour.

    >>> drawn = Styles(["lstm", "gru", "lstm"])
    >>> drawn["lstm"].light, drawn["gru"].marker, drawn["conv"].marker
    ('#0072B2', 'square', 'diamond')
    """

    def __init__(self, names: Iterable[str] = ()):
        super().__init__()
        for name in names:
            _ = self[name]

    def __missing__(self, name: str) -> Style:
        index = len(self)
        marker, dash = _MARKERS[index % len(_MARKERS)], _DASHES[index % len(_DASHES)]
        self[name] = Style(*_colour(index), *marker, *dash)
        return self[name]


def _colour(index: int) -> tuple[str, str]:
    """The colours of the list; after them hues that are far from the last ones."""
    if index < len(_COLOURS):
        return _COLOURS[index]
    # By the golden section hues never come again; the next round of eight is of other lightness.
    hue = index * (5**0.5 - 1) / 2 % 1
    lightness = (0.32, 0.42, 0.25)[index // 8 % 3]
    light, dark = (
        colorsys.hls_to_rgb(hue, bright, 0.75) for bright in (lightness, lightness + 0.3)
    )
    return _hexadecimal(light), _hexadecimal(dark)


def _hexadecimal(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02X}" for part in colour)
