"""What is asked of a scaling table: a cost at a length, and its ratios."""

from collections.abc import Mapping
from typing import Any

from seqmodels.scaling.results import value_of

Scaling = Mapping[str, Any] | None
"""The content of a ``scaling.json``; None where there is none."""


def cost(scaling: Scaling, quantity: str, mixer: str, length: int) -> float | None:
    """Of a mixer at a length; None where it isn't known."""
    cells = [] if scaling is None else scaling["cells"]
    known = (value_of(c, quantity) for c in cells if (c["mixer"], c["length"]) == (mixer, length))
    return next(known, None)


def ratio(scaling: Scaling, quantity: str, dearer: str, cheaper: str, length: int) -> float | None:
    """How often as much one mixer takes as another at a length."""
    return _over(*(cost(scaling, quantity, mixer, length) for mixer in (dearer, cheaper)))


def growth(scaling: Scaling, quantity: str, mixer: str, short: int, long: int) -> float | None:
    """How often as much a mixer takes at one length as at another."""
    return _over(*(cost(scaling, quantity, mixer, length) for length in (long, short)))


def crossover(scaling: Scaling, quantity: str, below: str, above: str) -> int | None:
    """The shortest measured length from which on ``above``, dearer before, is the cheaper one; None
    where it isn't at the longest that both have."""
    cells = [] if scaling is None else scaling["cells"]
    lengths = sorted({cell["length"] for cell in cells})
    ratios = {length: ratio(scaling, quantity, above, below, length) for length in lengths}
    known = {length: value for length, value in ratios.items() if value is not None}
    found = None
    for length, value in known.items():
        found = (found or length) if value < 1 else None
    return found


def _over(one: float | None, other: float | None) -> float | None:
    return one / other if one and other else None
