"""Kimi Linear's synthetic tasks, scaled down: KDA, Gated DeltaNet and Mamba-2."""

from pathlib import Path

from experiments.cells import scores_of
from experiments.checks import Training
from experiments.figures import scores_map
from experiments.kimi.config import MIXERS, TASKS
from experiments.pages import Found, draw_page, reproduction, runs_of, scores_table
from experiments.rules import GAP, NEAR, above

HERE = Path(__file__).parent
TITLE = "Palindrome, recall and stacks: KDA above Gated DeltaNet above Mamba-2"
SAID = "so, without numbers"
CHECK = Training(
    "experiments/kimi/config.py:task=recall,mixer=gated_deltanet",
    ("train.steps=150", "train.evaluate_every=150"),
)


def found(folder: Path = HERE) -> Found:
    """Each task's order."""
    runs = runs_of(folder)
    lines, rows = [], {}
    for task in TASKS:
        ours = {mixer: scores_of(runs, f"task={task},mixer={mixer}") for mixer in MIXERS}
        kda, gated, mamba2 = ours.values()
        said = f"{task}: kda no worse than gated_deltanet"
        lines.append(above(said, SAID, kda, gated, by=-NEAR))
        lines.append(above(f"{task}: gated_deltanet above mamba2", SAID, gated, mamba2, by=GAP))
        rows |= {(task, mixer): runs.get(f"task={task},mixer={mixer}") for mixer in MIXERS}
    by_place = {(mixer, task): rows[task, mixer] for mixer in MIXERS for task in TASKS}
    figures = scores_map("scores", "Test accuracy, %", list(MIXERS), list(TASKS), by_place)
    return reproduction(lines, figures, scores_table(("task", "mixer"), rows))


def draw() -> None:
    """Draws the page, of the runs that are committed."""
    draw_page(HERE, found())
