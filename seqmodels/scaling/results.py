"""What follows from the cells of a scaling table: fits, crossings, longest sequences."""

import itertools
from collections.abc import Iterable
from typing import Any

from seqmodels.scaling.child import GIB
from seqmodels.scaling.fits import (
    Points,
    PowerLaw,
    crossings,
    fit_power_law,
    fit_two_parts,
    is_carried,
    longest_within,
    separate,
)

Cell = dict[str, Any]

QUANTITIES = {
    "forward_seconds": "a forward pass",
    "step_seconds": "a training step",
    "decode_seconds": "a token",
    "temporary_bytes": "a step's temporaries",
    "peak_bytes": "the peak of memory",
    "step_flops": "a step's FLOPs",
    "sent_bytes": "what a device sends in a step",
    "roofline_seconds": "a step's roofline",
}
"""What is fitted, and how it is called."""
COMPARED = ("step_seconds", "forward_seconds", "decode_seconds", "temporary_bytes")


def value_of(cell: Cell, quantity: str) -> int | float | None:
    """A cell's value: of repeated measurements the median."""
    value = cell.get(quantity)  # what cells of earlier versions lack isn't known
    return value["median"] if isinstance(value, dict) else value


def range_of(cell: Cell, quantity: str) -> tuple[int | float, int | float]:
    """The lowest and the highest measurement; the value itself where nothing was repeated."""
    value = cell[quantity]
    return (value["low"], value["high"]) if isinstance(value, dict) else (value, value)


def points(cells: Iterable[Cell], mixer: str, quantity: str) -> dict[int, int | float]:
    """Length to value, where there is one above 0."""
    found = {c["length"]: value_of(c, quantity) for c in cells if c["mixer"] == mixer}
    return {length: value for length, value in found.items() if value}


def mixers_of(cells: Iterable[Cell]) -> list[str]:
    return list(dict.fromkeys(cell["mixer"] for cell in cells))


def summarise(cells: list[Cell], from_length: int, within: dict[str, float]) -> dict[str, Any]:
    """The parts ``fits``, ``crossovers`` and ``longest`` of ``scaling.json``."""
    return {
        "fits": list(_fits(cells, from_length)),
        "crossovers": list(_crossovers(cells)),
        "longest": list(_longest(cells, from_length, within)),
    }


def _fits(cells: list[Cell], from_length: int) -> Iterable[dict[str, Any]]:
    for mixer, quantity in itertools.product(mixers_of(cells), QUANTITIES):
        here = points(cells, mixer, quantity)
        law, parts = fit_power_law(here, from_length), fit_two_parts(here, from_length)
        if law is None or parts is None:
            continue
        yield {
            "mixer": mixer,
            "quantity": quantity,
            "exponent": law.exponent,
            "low": law.low,
            "high": law.high,
            "from_length": from_length,
            "lengths": law.lengths,
            "coefficient": law.coefficient,
            "linear": parts.linear,
            "quadratic": parts.quadratic,
            "local_exponent": parts.exponent(max(here)),
        }


def _law(costs: Points, from_length: int) -> PowerLaw | None:
    """The power law that the data tell; None where its exponent may be nearly any."""
    law = fit_power_law(costs, from_length)
    return law if law is not None and is_carried(law.low, law.high) else None


def _crossovers(cells: list[Cell]) -> Iterable[dict[str, Any]]:
    by_place = {(cell["mixer"], cell["length"]): cell for cell in cells}
    for quantity in COMPARED:
        for first, second in itertools.combinations(mixers_of(cells), 2):
            a, b = (points(cells, mixer, quantity) for mixer in (first, second))
            # Elsewhere the two are one and the same within what the measurements spread.
            told_apart = [
                length
                for length in sorted(a.keys() & b.keys())
                if separate(*(range_of(by_place[m, length], quantity) for m in (first, second)))
            ]
            a, b = ({length: of[length] for length in told_apart} for of in (a, b))
            for length in crossings(a, b):
                before = max(n for n in told_apart if n <= length)
                below, above = (first, second) if a[before] < b[before] else (second, first)
                yield {
                    "quantity": quantity,
                    "cheaper_below": below,
                    "cheaper_above": above,
                    "length": round(length),
                }


def _longest(
    cells: list[Cell], from_length: int, within: dict[str, float]
) -> Iterable[dict[str, Any]]:
    for limit, value in within.items():
        for mixer in mixers_of(cells):
            if limit == "gib":
                temporary, argument = (
                    points(cells, mixer, f"{name}_bytes") for name in ("temporary", "argument")
                )
                costs = {
                    length: (temporary[length] + argument[length]) / GIB
                    for length in temporary.keys() & argument.keys()
                }
                law = _law(temporary, from_length)
            else:
                steps, least = (points(cells, mixer, f"{n}_seconds") for n in ("step", "roofline"))
                costs = steps or least
                law = _law(costs, from_length)
            if costs:
                reach = longest_within(costs, value, law)
                yield {"mixer": mixer, "limit": limit, "value": value, **reach._asdict()}
