"""LRU's copy task, as minimal-LRU has it: 100% within four epochs."""

from pathlib import Path

from experiments.cells import scores_of
from experiments.checks import Training
from experiments.pages import Found, draw_page, reproduction, runs_of, scores_table
from experiments.rules import accuracy

HERE = Path(__file__).parent
TITLE = "LRU copies 20 patterns of 7 bits"
PUBLISHED = 1.0
CHECK = Training(
    "experiments/lru_copy/config.py",
    ("model.width=64", "task.symbols=8", "train.steps=300", "train.evaluate_every=100"),
)


def found(folder: Path = HERE) -> Found:
    """Test accuracy of each seed."""
    runs = runs_of(folder)
    lines = [accuracy("copy, accuracy", PUBLISHED, scores_of(runs, ""))]
    return reproduction(lines, (), scores_table(("mixer",), {("lru",): runs.get("")}))


def draw() -> None:
    """Draws the page, of the runs that are committed."""
    draw_page(HERE, found())
