"""Self-attention sees all after one layer, is parallel, and is hungry for memory."""

from pathlib import Path

from experiments.cells import Cell
from experiments.checks import Training
from experiments.costs import growth
from experiments.figures import by_distance, costs
from experiments.pages import Found, claim, costs_of, draw_page, runs_of, scores_table
from experiments.rules import at_least, at_most, beats, reaches

HERE = Path(__file__).parent
TITLE = "Self-attention sees every input after one layer, is parallel, and is hungry for memory"
LENGTH = 256
MIXERS = ("global", "alone", "local", "gru")
FAR = "128-255"
"""The slice of distances that is farthest."""
SHORT, LONG = 2048, 8192
FOUND = 0.9
HUNGRY = 8.0
"""So many times the memory for four times the length, where 4 is linear and 16 is quadratic."""
CHECK = Training("experiments/attention_reach/config.py:mixer=global", ("train.steps=250",))


def found(folder: Path = HERE) -> Found:
    """The needle by distance, the depth, and the temporaries by length."""
    runs, scaling = runs_of(folder), costs_of(folder)
    cells = {mixer: cell for mixer in MIXERS if (cell := runs.get(f"mixer={mixer}"))}
    one, alone, local = (_far(cells.get(mixer)) for mixer in ("global", "alone", "local"))
    parts = [
        reaches("keys know what lies before them (a short convolution)", one, FOUND),
        reaches("keys are of single positions", alone, FOUND),
        beats("its window is not cut: against 16 positions, 128 or more back", one, local),
    ]
    deep, *grown = (
        growth(scaling, quantity, mixer, SHORT, LONG)
        for quantity, mixer in (
            ("sequential_depth", "global"),
            ("temporary_bytes", "plain"),
            ("temporary_bytes", "global"),
        )
    )
    said = f"from {SHORT:,} to {LONG:,} positions"
    parts.append(
        at_most(f"steps that wait for one another are counted, {said}", deep, 1.0, " times")
    )
    for value, how in zip(
        grown, ("all scores held at once", "scores a block at a time"), strict=True
    ):
        parts.append(at_least(f"temporaries are, {how}, {said}", value, HUNGRY, " times"))
    title = "One layer: accuracy by the needle's distance"
    figures = by_distance("distance", title, cells, LENGTH)
    figures += costs("memory", "Temporaries of a training step", scaling, "temporary_bytes")
    rows = {(mixer,): cells.get(mixer) for mixer in MIXERS}
    return claim(parts, figures, scores_table(("mixer",), rows))


def _far(cell: Cell | None) -> list[float]:
    return [] if cell is None else cell.slices(LENGTH, "distance").get(FAR, [])


def draw() -> None:
    """Draws the page, of the runs and costs that are committed."""
    draw_page(HERE, found())
