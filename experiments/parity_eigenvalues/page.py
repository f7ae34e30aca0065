"""Parity beyond training's lengths, by eigenvalues in [0, 1] and [-1, 1] (Grazzi et al. 2025)."""

from pathlib import Path

from experiments.cells import Cell
from experiments.checks import Training
from experiments.figures import by_length
from experiments.pages import Found, draw_page, reproduction, runs_of, scores_table
from experiments.parity_eigenvalues.config import MIXERS
from experiments.rules import accuracy

HERE = Path(__file__).parent
TITLE = "Linear recurrences keep a parity with eigenvalues in [-1, 1], and not in [0, 1]"
LENGTHS = (40, 64, 96, 128, 192, 256)
PUBLISHED = {"mamba": 0.0, "mamba_signed": 1.0, "deltanet": 0.02, "deltanet_signed": 1.0}
"""(accuracy - chance) / (1 - chance), the best of three."""
CHANCE = 0.5
STYLES = {name: name.removesuffix("_signed") for name in MIXERS} | {
    "mamba_signed": "mamba2",
    "deltanet_signed": "gated_deltanet",
}
"""Two of a mixer have the colours of two relatives."""
CHECK = Training(
    "experiments/parity_eigenvalues/config.py:mixer=mamba",
    ("optimizer.learning_rate=0.003", "optimizer.warmup_steps=30", "train.steps=200"),
)


def found(folder: Path = HERE) -> Found:
    """The best seed's accuracy between chance and 1, over lengths of 40 to 256."""
    runs = runs_of(folder)
    cells = {name: runs.get(f"mixer={name}") for name in MIXERS}
    lines = [
        accuracy(f"parity, {name}", PUBLISHED[name], _scaled(cell), best=True)
        for name, cell in cells.items()
    ]
    figures = by_length("length", "Parity by length", cells, 40, style=STYLES)
    rows = {(name,): cell for name, cell in cells.items()}
    return reproduction(lines, figures, scores_table(("mixer",), rows))


def _scaled(cell: Cell | None) -> list[float]:
    scores = [] if cell is None else cell.at(*LENGTHS)
    return [(score - CHANCE) / (1 - CHANCE) for score in scores]


def draw() -> None:
    """Draws the page, of the runs that are committed."""
    draw_page(HERE, found())
