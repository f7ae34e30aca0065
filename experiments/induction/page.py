"""Induction heads far beyond training's length: Mamba and rotary attention (Gu and Dao 2023)."""

from pathlib import Path

from experiments.checks import Training
from experiments.figures import by_length
from experiments.pages import Found, draw_page, reproduction, runs_of, scores_table
from experiments.rules import accuracy

HERE = Path(__file__).parent
TITLE = "Induction heads, trained at 256, asked to 4,096"
PUBLISHED = {
    "mamba": {256: 1.0, 512: 1.0, 1024: 1.0, 2048: 1.0, 4096: 1.0},
    "global": {256: 1.0, 512: 0.836, 1024: 0.313, 2048: 0.184, 4096: 0.086},
}
CHECK = Training(
    "experiments/induction/config.py:mixer=global",
    ("train.length=64", "train.steps=1500", "train.evaluate_every=500"),
)


def found(folder: Path = HERE) -> Found:
    """Accuracy at each length."""
    runs = runs_of(folder)
    cells = {mixer: runs.get(f"mixer={mixer}") for mixer in PUBLISHED}
    lines = [
        accuracy(f"{mixer} at {length:,}", score, cell.at(length) if cell else [])
        for mixer, cell in cells.items()
        for length, score in PUBLISHED[mixer].items()
    ]
    figures = by_length("length", "Induction heads by length", cells, 256)
    rows = {(mixer,): cell for mixer, cell in cells.items()}
    return reproduction(lines, figures, scores_table(("mixer",), rows))


def draw() -> None:
    """Draws the page, of the runs that are committed."""
    draw_page(HERE, found())
