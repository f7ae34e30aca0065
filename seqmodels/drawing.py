"""Pictures by matplotlib: text as it stands, marks of logarithmic axes, files whole or absent."""

import math
import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Number = float | int
"""Of either type: where types are checked at run time, an int is no float."""

MOST = 8
"""Marks of an axis."""
BLUE, ORANGE = "#0072B2", "#D55E00"
"""Of Okabe and Ito, which colour-blind readers can tell apart."""


def log_ticks(values: Iterable[Number], base: int = 10, unit: int = 1) -> list[Number]:
    """The marks of an axis that shows some values above 0; at least two lie among those.

    Powers of the base; of ten also 2 and 5 times those. Where the values lie too close together for
    that, even steps, of whole numbers for whole numbers; of values that are all the same, that one.
    The base is 2 or 10; even steps are counted in the unit, such as 2**20 for MiB.

    >>> log_ticks([0.003, 0.2]), log_ticks([64, 100, 256], base=2)
    ([0.001, 0.01, 0.1, 1.0], [64, 128, 256])
    >>> log_ticks([0.31, 0.34]), log_ticks([1000, 1030], base=2), log_ticks([0.3])
    ([0.31, 0.32, 0.33, 0.34], [1000, 1010, 1020, 1030], [0.3])
    """
    shown = [value for value in values if value > 0 and math.isfinite(value)]
    if not shown:
        return []
    low, high = min(shown), max(shown)
    for ticks in (_powers(low, high, base), _ones_twos_fives(low, high) if base == 10 else []):
        if len(ticks) <= MOST and sum(low <= tick <= high for tick in ticks) > 1:
            return ticks
    if low == high:
        return [low]
    whole = unit == 1 and all(isinstance(value, int) for value in shown)
    return _even(low, high, unit, whole)


def _powers(low: Number, high: Number, base: int) -> list[Number]:
    """From the last power at or below the lowest to the first at or above the highest."""
    first = math.floor(math.log(low, base) + 1e-9)
    last = math.ceil(math.log(high, base) - 1e-9)
    powers = range(first, last + 1, math.ceil((last - first + 1) / MOST))
    if base == 2 and first >= 0:
        return [2**power for power in powers]
    return [float(base) ** power for power in powers]


def _ones_twos_fives(low: Number, high: Number) -> list[Number]:
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    found = [float(f"{step}e{power}") for power in powers for step in (1, 2, 5)]
    return [tick for tick in found if low / 2.1 <= tick <= high * 2.1]


def _even(low: Number, high: Number, unit: int, whole: bool) -> list[Number]:
    """The fewest, but at least three, multiples of 1, 2 or 5 times a power of ten."""
    low, high = low / unit, high / unit
    power = math.ceil(math.log10(high - low))
    while True:
        for digit in (5, 2, 1):
            step = float(f"{digit}e{power}")
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            if last - first >= 2 or (whole and step == 1):
                places = [float(f"{place * step:.15g}") for place in range(first, last + 1)]
                ticks = [place * unit for place in places]
                return [round(tick) for tick in ticks] if whole else ticks
        power -= 1


def distinct_texts(ticks: list[Number], write: Callable[[Number, int], str]) -> list[str]:
    """The marks as text, with as many digits more as it takes that no two are the same.

    ``write(tick, more)`` writes one with so many digits more than usual.

    >>> distinct_texts([1.001, 1.002], lambda tick, more: f"{tick:.{2 + more}g}")
    ['1.001', '1.002']
    """
    for more in range(13):
        texts = [write(tick, more) for tick in ticks]
        if len(set(texts)) == len(set(ticks)):
            break
    return texts


def mark_log_axis(axis: Any, ticks: list[Number], texts: list[str]) -> None:
    """Marks matplotlib's axis there and nowhere else; without any it marks itself."""
    from matplotlib.ticker import NullLocator  # here, because the import takes a second

    if ticks:
        axis.set_ticks(ticks, texts)
        axis.set_minor_locator(NullLocator())


def new_figure(width: float, height: float, title: str) -> Any:
    """A figure of so many inches, with a title."""
    from matplotlib.figure import Figure  # here, because the import takes a second

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    figure.suptitle(literal(title), fontsize=10)
    return figure


def literal(text: str) -> str:
    """Text that matplotlib takes for no formula and no hidden label.

    >>> literal("$NAME of_x^"), literal("_hidden")
    ('\\\\$NAME of_x^', ' _hidden')
    """
    plain = "".join(c if c.isprintable() or c == "\n" else " " for c in text).replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain


def save(figure: Any, path: Path) -> Path:
    """Writes a figure as a PNG, wholly or not at all; returns its path.

    Raises:
      OSError: it can't be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with warnings.catch_warnings():  # text may have letters that the font lacks: boxes then
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            figure.savefig(temporary, format="png")
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)
    return path
