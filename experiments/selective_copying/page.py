"""Selective copying by what sees its input in its decays, and by what doesn't."""

from pathlib import Path

from experiments.cells import scores_of
from experiments.checks import Training
from experiments.pages import Found, draw_page, reproduction, runs_of, scores_table
from experiments.rules import accuracy, ordering

HERE = Path(__file__).parent
TITLE = "Selective copying: Mamba and minGRU, and not a recurrence that doesn't choose"
PUBLISHED = {"mamba": (0.998, 0.0), "mingru": (0.995, 0.002)}
"""With the spread that is given; at 4,096 positions."""
FIXED = 0.183
"""That of S4, whose decays don't see the input either, where ours is LRU."""
CHECK = Training(
    "experiments/selective_copying/config.py:mixer=mingru",
    ("train.length=64", "train.steps=500", "train.evaluate_every=250"),
)


def found(folder: Path = HERE) -> Found:
    """Test accuracy, and that those that choose are above what doesn't."""
    runs = runs_of(folder)
    ours = {mixer: scores_of(runs, f"mixer={mixer}") for mixer in (*PUBLISHED, "lru")}
    lines = [
        accuracy(f"accuracy, {mixer}", score, ours[mixer], spread)
        for mixer, (score, spread) in PUBLISHED.items()
    ]
    lines += ordering({name: of for name, (of, _) in PUBLISHED.items()} | {"lru": FIXED}, ours)
    rows = {(mixer,): runs.get(f"mixer={mixer}") for mixer in (*ours, "s4d")}
    return reproduction(lines, (), scores_table(("mixer",), rows))


def draw() -> None:
    """Draws the page, of the runs that are committed."""
    draw_page(HERE, found())
