"""A convolution is bad at long sequences and must be stacked: a needle across its field."""

import statistics
from pathlib import Path

from experiments.cells import Cell, first_of, scores_of
from experiments.checks import Training
from experiments.convolution_reach.config import DILATIONS, KERNEL
from experiments.figures import by_distance
from experiments.pages import Found, claim, draw_page, runs_of, scores_table
from experiments.rules import beats, reaches, stays_below

HERE = Path(__file__).parent
TITLE = "A convolution is bad at long sequences, and must be stacked to see the whole"
LENGTH = 64
MIXERS = (*DILATIONS, "long_convolution")
FOUND, LOST = 0.9, 0.15
"""A needle is found from this accuracy on, and lost up to that one, twice chance."""
LAST = 32
"""The last slice of distances begins there."""
CHECK = Training("experiments/convolution_reach/config.py:mixer=stack_4", ("train.steps=400",))


def field(mixer: str) -> int:
    """How many positions a stack of convolutions sees, its own included."""
    return 1 + (KERNEL - 1) * sum(DILATIONS[mixer])


def found(folder: Path = HERE) -> Found:
    """Within and beyond the receptive fields, dilated, and with a long filter."""
    cells = {mixer: cell for mixer in MIXERS if (cell := runs_of(folder).get(f"mixer={mixer}"))}
    parts = []
    for mixer in ("stack_2", "stack_4", "stack_8"):
        sees = f"kernels of {KERNEL} are stacked {len(DILATIONS[mixer])} deep"
        beyond = _scores(cells.get(mixer), field(mixer) - 1, 2 * LAST)  # where the mark is not seen
        parts.append(stays_below(f"{sees} and the needle lies beyond their field", beyond, LOST))
    within = _scores(cells.get("stack_8"), 1, field("stack_8") - 1)
    parts.append(reaches("8 are stacked and it lies within, where it is found", within, FOUND))
    deeper, shallower = (scores_of(cells, mixer) for mixer in ("stack_8", "stack_2"))
    parts.append(beats("depth is what sees farther: 8 blocks against 2", deeper, shallower))
    for mixer, said in (("dilated", "dilations double"), ("long_convolution", "filters are long")):
        far = _scores(cells.get(mixer), LAST, 2 * LAST)
        parts.append(stays_below(f"{said} (the needle 32 or more back)", far, LOST))
    figures = by_distance("distance", "Accuracy by the needle's distance", cells, LENGTH)
    rows = {(m, str(field(m)) if m in DILATIONS else "64"): cells.get(m) for m in MIXERS}
    return claim(parts, figures, scores_table(("mixer", "sees"), rows))


def _scores(cell: Cell | None, low: int, high: int) -> list[float]:
    """Each seed's mean over the slices of distances that lie in [low, high)."""
    if cell is None:
        return []
    slices = cell.slices(LENGTH, "distance").items()
    kept = [s for value, s in slices if low <= first_of(value) and _last_of(value) < high]
    return [statistics.fmean(of) for of in zip(*kept, strict=True)]


def _last_of(value: str) -> int:
    return int(value.rpartition("-")[2])


def draw() -> None:
    """Draws the page, of the runs that are committed."""
    draw_page(HERE, found())
