"""A convolution works on grids, an RNN on ordered sequences, attention on sets."""

import statistics
from pathlib import Path
from typing import Any, TypedDict

from benchmarks.scaling_tables import table
from experiments.checks import Measured
from experiments.pages import Found, claim, draw_page
from experiments.rules import SEEDS, Part, at_least, at_most
from seqmodels.json_files import UnreadableError, read_json_lines
from seqmodels.report.heat_map import Cell, HeatMap

HERE = Path(__file__).parent
TITLE = "A convolution works on grids, an RNN on ordered sequences, attention on sets"
MIXERS: dict[str, dict[str, Any]] = {
    "attention": {"kind": "attention", "causal": False, "positions": "none"},
    "attention_rotary": {"kind": "attention", "causal": False, "positions": "rotary"},
    "attention_grid": {"kind": "attention", "causal": False, "positions": "none"},
    "convolution": {"kind": "convolution", "kernel": 5, "causal": False},
    "convolution_grid": {"kind": "convolution", "kernel": (5, 5), "causal": False},
    "neighbourhood_grid": {"kind": "neighbourhood_attention", "kernel": (5, 5), "causal": False},
    "gru": {"kind": "gru"},
}
"""By name; those on grids have two axes."""
SYMMETRIES = ("permutation", "shift")
KEPT, BROKEN = 1e-5, 0.05
"""Errors up to which a symmetry is kept, and from which on it is not."""
EXPECTED = {
    ("attention", "permutation"): ("attention has no positions, on a set", True),
    ("attention_rotary", "permutation"): ("it has rotary ones: order counts", False),
    ("convolution", "permutation"): ("order counts for a convolution", False),
    ("convolution_grid", "shift"): ("a convolution on a grid keeps shifts of both axes", True),
    ("neighbourhood_grid", "shift"): ("so does local attention in its place", True),
    ("convolution", "shift"): ("a convolution on a sequence keeps shifts", True),
    ("gru", "permutation"): ("order counts for an RNN", False),
}
"""By mixer and symmetry what the claim says, and whether the symmetry is kept then."""


class Measurement(TypedDict):
    """A line of ``results.json``."""

    mixer: str
    symmetry: str
    seed: int
    error: float


def found(folder: Path = HERE) -> Found:
    """Which symmetries are kept."""
    errors: dict[tuple[str, str], list[float]] = {}
    for _, line in read_json_lines(folder / "results.json", Measurement, listed=True):
        if isinstance(line, UnreadableError):
            raise line
        errors.setdefault((line["mixer"], line["symmetry"]), []).append(line["error"])
    parts = [_part(errors.get(place, []), *said) for place, said in EXPECTED.items()]
    rows = [["mixer", *SYMMETRIES]]
    for mixer in MIXERS:
        known = (errors.get((mixer, symmetry), []) for symmetry in SYMMETRIES)
        rows.append([mixer, *(f"{max(of):.1e}" if of else "–" for of in known)])
    return claim(parts, _map(errors), f"The largest error of any seed:\n\n{table(rows)}")


def _part(errors: list[float], when: str, kept: bool) -> Part:
    """Of the largest error where a symmetry is kept, and of the least where it isn't."""
    if len(errors) < SEEDS:
        return at_most(when, None, KEPT)
    return at_most(when, max(errors), KEPT) if kept else at_least(when, min(errors), BROKEN)


def _map(errors: dict[tuple[str, str], list[float]]) -> list[HeatMap]:
    """The median errors; blue is kept."""
    if not errors:
        return []
    rows = []
    for mixer in MIXERS:
        medians = [statistics.median(errors[mixer, symmetry]) for symmetry in SYMMETRIES]
        rows.append((mixer, [Cell(e, float(e <= KEPT), f"{e:.0e}", "", (), []) for e in medians]))
    title = "How far outputs move otherwise than inputs (blue: not at all)"
    return [HeatMap("errors", title, title, [(symmetry, "") for symmetry in SYMMETRIES], rows)]


def _as_said(seed: int) -> float:
    """The share of what the claim says that a seed finds to be so."""
    from experiments.equivariance.measure import error  # which needs what stands here

    found = [(error(*place, seed) <= KEPT) == kept for place, (_, kept) in EXPECTED.items()]
    return sum(found) / len(found)


CHECK = Measured("symmetries that are as said", _as_said)


def draw() -> None:
    """Draws the page, of what is committed."""
    draw_page(HERE, found())
