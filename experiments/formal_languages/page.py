"""Regular languages beyond training's lengths: RNN, LSTM and Transformer (Delétang et al. 2023)."""

from pathlib import Path

from experiments.cells import Cell
from experiments.checks import Training
from experiments.figures import by_length
from experiments.formal_languages.config import MIXERS, TASKS
from experiments.pages import Found, draw_page, reproduction, runs_of, scores_table
from experiments.rules import accuracy

HERE = Path(__file__).parent
TITLE = "Regular languages, trained on 1 to 40 symbols, scored on 41 to 500"
LENGTHS = tuple(range(50, 501, 50))
"""Where the mean accuracy is taken."""
PUBLISHED = {
    "parity": {"rnn": 1.0, "lstm": 1.0, "transformer": 0.52},
    "even_pairs": {"rnn": 1.0, "lstm": 1.0, "transformer": 0.964},
    "cycle_navigation": {"rnn": 1.0, "lstm": 1.0, "transformer": 0.619},
}
CHECK = Training(
    "experiments/formal_languages/config.py:task=even_pairs,mixer=rnn",
    ("optimizer.learning_rate=0.002", "train.steps=400"),
)


def found(folder: Path = HERE) -> Found:
    """The best seed's mean accuracy over lengths beyond training's, as the paper reports it."""
    runs = runs_of(folder)
    lines, rows, figures = [], {}, []
    for task in TASKS:
        cells = {mixer: runs.get(f"task={task},mixer={mixer}") for mixer in MIXERS}
        for mixer, cell in cells.items():
            rows[task, mixer] = cell
            lines.append(
                accuracy(f"{task}, {mixer}", PUBLISHED[task][mixer], _beyond(cell), best=True)
            )
        said = task.replace("_", " ")
        figures += by_length(task, f"{said}: accuracy by length", cells, 40)
    further = scores_table(("task", "model"), rows, "At training's greatest length:")
    return reproduction(lines, figures, further)


def _beyond(cell: Cell | None) -> list[float]:
    return [] if cell is None else cell.at(*LENGTHS)


def draw() -> None:
    """Draws the page, of the runs that are committed."""
    draw_page(HERE, found())
