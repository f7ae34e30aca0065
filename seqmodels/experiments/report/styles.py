"""Colours, markers and dashes: the same for a name in every figure of a report.

The colours are Okabe and Ito's (2008), which colour-blind readers tell apart; their yellow is left
out, too pale on white. Markers and dashes differ too, for print in grey.
"""

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


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for each name, in their order; after 7 × 8 × 5 names they begin again.

    >>> drawn = styles(["lstm", "gru", "lstm"])
    >>> drawn["lstm"].light, drawn["gru"].marker
    ('#0072B2', 'square')
    """
    chosen = {}
    for index, name in enumerate(dict.fromkeys(names)):
        colour, marker = _COLOURS[index % len(_COLOURS)], _MARKERS[index % len(_MARKERS)]
        chosen[name] = Style(*colour, *marker, *_DASHES[index % len(_DASHES)])
    return chosen
