"""The Transformer block: what residuals, normalisation, MLP and positions each contribute."""

from pathlib import Path

from experiments.cells import scores_of
from experiments.checks import Training
from experiments.figures import scores_map
from experiments.pages import Found, claim, draw_page, runs_of, scores_table
from experiments.rules import beats
from experiments.transformer_block.config import LEFT_OUT, TASKS

HERE = Path(__file__).parent
TITLE = "A Transformer block is attention, an MLP, residuals, normalisation and positions"
NAMES = {
    "residual": "it is about residual connections",
    "norm": "it is about normalisation",
    "mlp": "it is about the MLPs",
    "positions": "it is about positions",
}
CHECK = Training(
    "experiments/transformer_block/config.py:task=recall,without=nothing",
    ("train.steps=400", "train.evaluate_every=400"),
)


def found(folder: Path = HERE) -> Found:
    """A part contributes where a block without it scores less, by 5 points at least."""
    runs = runs_of(folder)
    parts = [
        beats(
            f"{said}, on {task}",
            scores_of(runs, f"task={task},without=nothing"),
            scores_of(runs, f"task={task},without={name}"),
        )
        for task in TASKS
        for name, said in NAMES.items()
    ]
    by_place = {(w, t): runs.get(f"task={t},without={w}") for w in LEFT_OUT for t in TASKS}
    title = "Test accuracy by what is left out, %"
    figures = scores_map("scores", title, list(LEFT_OUT), list(TASKS), by_place)
    rows = {(t, w): by_place[w, t] for t in TASKS for w in LEFT_OUT}
    return claim(parts, figures, scores_table(("task", "without"), rows))


def draw() -> None:
    """Draws the page, of the runs that are committed."""
    draw_page(HERE, found())
