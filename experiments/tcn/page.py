"""The TCN of Bai et al. 2018 on adding over 600 positions and copying over 1,000."""

from pathlib import Path

from experiments.cells import scores_of
from experiments.checks import Training
from experiments.pages import Found, draw_page, reproduction, runs_of, scores_table
from experiments.rules import loss

HERE = Path(__file__).parent
TITLE = "A TCN adds over 600 positions and copies over 1,000"
ADDING = {"tcn": 5.8e-5, "gru": 5.3e-5}
"""Mean squared errors; a constant has 1/6."""
COPY, CHANCE = 3.5e-5, 0.0204
"""Cross-entropies, the paper's of all 1,020 positions, of which ten are copied."""
SHARE = 10 / 1020
"""Ours is of those ten; blanks cost next to nothing."""
CHECK = Training(
    "experiments/tcn/config.py:task=copy,mixer=tcn",
    ("train.length=100", "train.steps=1000", "train.evaluate_every=500"),
)


def found(folder: Path = HERE) -> Found:
    """Losses of one seed."""
    runs = runs_of(folder)
    lines = [
        loss(
            f"adding, {mixer}", said, scores_of(runs, f"task=adding,mixer={mixer}"), 1 / 6, seeds=1
        )
        for mixer, said in ADDING.items()
    ]
    copied = runs.get("task=copy,mixer=tcn")
    losses = [] if copied is None else [SHARE * value for value in copied.metric("loss")]
    lines.append(loss("copy, tcn, loss", COPY, losses, CHANCE, seeds=1))
    rows = {(t, m): runs.get(f"task={t},mixer={m}") for t, m in _CELLS}
    return reproduction(lines, (), scores_table(("task", "model"), rows))


_CELLS = (("adding", "tcn"), ("adding", "gru"), ("copy", "tcn"))


def draw() -> None:
    """Draws the page, of the runs that are committed."""
    draw_page(HERE, found())
