"""Hybrids by ratio: what a share of attention adds to recall, and what it costs."""

from pathlib import Path

from benchmarks.scaling_tables import table
from experiments.cells import scores_of
from experiments.checks import Training
from experiments.figures import curves
from experiments.hybrids.config import PATTERNS
from experiments.pages import Found, draw_page, reproduction, runs_of, scores_table
from experiments.rules import above
from seqmodels.report.figure import Axis

HERE = Path(__file__).parent
TITLE = "Hybrids by ratio: a few blocks of attention recall as many do"
SAID = "hybrids above linear mixers alone"
CHECK = Training(
    "experiments/hybrids/config.py:ratio=1:1", ("train.steps=150", "train.evaluate_every=150")
)


def found(folder: Path = HERE) -> Found:
    """Recall by ratio, in order; state, step and decoded position beside it."""
    runs = runs_of(folder)
    cells = {ratio: runs.get(f"ratio={ratio}") for ratio in PATTERNS}
    ours = {ratio: scores_of(runs, f"ratio={ratio}") for ratio in PATTERNS}
    lines = [
        above(f"{ratio} above 1:0", SAID, ours[ratio], ours["1:0"]) for ratio in ("3:1", "1:1")
    ]
    there = {ratio: cell for ratio, cell in cells.items() if cell is not None}
    by_state = {
        ratio: {cell.chosen[0]["cost"]["state_bytes"]: cell.tests} for ratio, cell in there.items()
    }
    axis = Axis("state at 128 positions", "bytes", log=True)
    figures = curves("state", "Recall against the state, by ratio", axis, by_state)
    costs = [["ratio", "state, KiB", "a decoded position, ms"]]
    for ratio, cell in there.items():
        cost = cell.chosen[0]["cost"]
        decoded = cost["decode_seconds"]
        shown = f"{1e3 * decoded:.3g}" if decoded else "–"
        costs.append([ratio, f"{cost['state_bytes'] / 1024:.1f}", shown])
    rows = {(ratio,): cell for ratio, cell in cells.items()}
    further = [scores_table(("ratio",), rows), *([table(costs)] if there else [])]
    return reproduction(lines, figures, "\n\n".join(further))


def draw() -> None:
    """Draws the page, of the runs that are committed."""
    draw_page(HERE, found())
