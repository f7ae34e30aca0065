"""Who recalls at width 64, on Zoology's data: attention, Hyena, Mamba-2 and Gated DeltaNet."""

from pathlib import Path

from experiments.cells import scores_of
from experiments.checks import Training
from experiments.pages import Found, draw_page, reproduction, runs_of, scores_table
from experiments.rules import ordering
from experiments.zoology_recall.config import MIXERS

HERE = Path(__file__).parent
TITLE = "Multi-query recall at 64 positions, width 64"
PUBLISHED = {"global": 1.0, "hyena": 0.52}
"""Of the four that are run; the other two are later than the figure, and shown without a claim."""
CHECK = Training(
    "experiments/zoology_recall/config.py:mixer=global",
    (
        "task.vocabulary=256",
        "train.steps=300",
        "train.batch_size=64",
        "optimizer.learning_rate=0.01",
        "train.evaluate_every=150",
    ),
)


def found(folder: Path = HERE) -> Found:
    """The pairs that are published, in order."""
    runs = runs_of(folder)
    ours = {mixer: scores_of(runs, f"mixer={mixer}") for mixer in MIXERS}
    rows = {(mixer,): runs.get(f"mixer={mixer}") for mixer in MIXERS}
    return reproduction(ordering(PUBLISHED, ours), (), scores_table(("mixer",), rows))


def draw() -> None:
    """Draws the page, of the runs that are committed."""
    draw_page(HERE, found())
