"""ListOps, scaled down: a Transformer against a linear recurrence."""

from pathlib import Path

from experiments.cells import scores_of
from experiments.checks import Training
from experiments.pages import Found, draw_page, reproduction, runs_of, scores_table
from experiments.rules import ordering

HERE = Path(__file__).parent
TITLE = "ListOps: a linear recurrence above a Transformer"
PUBLISHED = {"s5": 0.622, "transformer": 0.364}
CHECK = Training(
    "experiments/listops/config.py:mixer=s5",
    ("train.length=64", "train.steps=200", "train.evaluate_every=100"),
)


def found(folder: Path = HERE) -> Found:
    """Test accuracy, in the published order."""
    runs = runs_of(folder)
    ours = {mixer: scores_of(runs, f"mixer={mixer}") for mixer in PUBLISHED}
    rows = {(mixer,): runs.get(f"mixer={mixer}") for mixer in PUBLISHED}
    return reproduction(ordering(PUBLISHED, ours), (), scores_table(("mixer",), rows))


def draw() -> None:
    """Draws the page, of the runs that are committed."""
    draw_page(HERE, found())
