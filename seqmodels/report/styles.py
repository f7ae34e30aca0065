"""Colours, markers and dashes: the same for a mixer in every figure of every report.

The first colours are Okabe and Ito's (2008), which colour-blind readers tell apart; their yellow is
left out, too pale on white. Markers and dashes differ too, for print in grey.
"""

import colorsys
import itertools
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from seqmodels.presets import PRESETS


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
    ("#56B4E9", "#7CC8F2"),
    ("#009E73", "#1DB58A"),
    ("#E69F00", "#E69F00"),
    ("#D55E00", "#E8772E"),
    ("#000000", "#F2F2F2"),
    ("#CC79A7", "#D98FBA"),
    ("#6A3D9A", "#B48BE0"),
)
_FIRST = ("lstm", "gru", "conv", "local", "global", "transformer", "mamba2", "gated_deltanet")
"""Those that have them."""
_PLACES = {
    name: place
    for place, name in enumerate((*_FIRST, *(name for name in PRESETS if name not in _FIRST)))
}
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
    """A style for each name; no two have one colour.

    That of a preset is always the same. With settings behind its name (``gru, width=64``) it has
    the preset's hue; what is no preset has the next of the colours that no preset has.

    >>> drawn = Styles(["gru", "lstm", "gru, width=64"])
    >>> drawn["lstm"].light, drawn["gru"].marker, drawn["gru, width=64"].light
    ('#0072B2', 'square', '#95D0F1')
    """

    def __init__(self, names: Iterable[str] = ()):
        super().__init__()
        for name in names:
            _ = self[name]

    def __missing__(self, name: str) -> Style:
        place = _PLACES.get(name.partition(", ")[0])
        if name in _PLACES:
            self[name] = _style(_PLACES[name])
            return self[name]
        own = [] if place is None else [_style(place, shade) for shade in range(1, len(_SHADES))]
        others = (_style(number) for number in itertools.count(len(_PLACES)))
        used = [*self.values(), *map(_style, _PLACES.values())]
        taken = {colour for style in used for colour in style[:2]}
        self[name] = next(s for s in itertools.chain(own, others) if not taken & {*s[:2]})
        return self[name]


_SHADES = (0.0, 0.14, -0.14, 0.24, -0.22)
"""By how much the colours of a preset with settings are lighter."""


@cache
def _style(place: int, shade: int = 0) -> Style:
    looks = place + 3 * shade
    marker, dash = _MARKERS[looks % len(_MARKERS)], _DASHES[looks % len(_DASHES)]
    light, dark = (_shaded(colour, _SHADES[shade]) for colour in _colour(place))
    return Style(light, dark, *marker, *dash)


def _shaded(colour: str, by: float) -> str:
    if by == 0:
        return colour
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    hue, bright, full = colorsys.rgb_to_hls(red, green, blue)
    return _hexadecimal(colorsys.hls_to_rgb(hue, min(max(bright + by, 0.05), 0.95), full))


def _colour(place: int) -> tuple[str, str]:
    """The colours of the list; after them hues that are far from the last ones."""
    if place < len(_COLOURS):
        return _COLOURS[place]
    # By the golden section hues never come again; the next round of eight is of other lightness.
    hue = place * (5**0.5 - 1) / 2 % 1
    lightness = (0.32, 0.42, 0.25)[place // 8 % 3]
    light, dark = (
        colorsys.hls_to_rgb(hue, bright, 0.75) for bright in (lightness, lightness + 0.3)
    )
    return _hexadecimal(light), _hexadecimal(dark)


def _hexadecimal(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02X}" for part in colour)
