"""Sequence-to-sequence by the greatest length of its sources, with attention and without."""

from pathlib import Path

from experiments.cells import scores_of
from experiments.checks import Training
from experiments.figures import by_length
from experiments.pages import Found, draw_page, reproduction, runs_of, scores_table
from experiments.rules import ordering
from experiments.sequence_to_sequence.config import LIMITS, TASKS

HERE = Path(__file__).parent
TITLE = "Attention added to an RNN, by the greatest length in training"
BLEU = ({"with attention": 0.215, "without": 0.139}, {"with attention": 0.268, "without": 0.178})
"""Published at limits of 30 and of 50 words, beside ours of 15 and of 30 symbols."""
DECODERS = {"with attention": "additive", "without": "none"}
STYLES = {"with attention": "hybrid", "without": "gru"}
CHECK = Training(
    "experiments/sequence_to_sequence/config.py:task=copy_string,limit=15,cross=additive",
    ("train.steps=500", "train.evaluate_every=250"),
)


def found(folder: Path = HERE) -> Found:
    """Exact match at each limit, in the published order."""
    runs = runs_of(folder)
    lines, rows, figures = [], {}, []
    for task in TASKS:
        for limit, published in zip(LIMITS, BLEU, strict=True):
            texts = {
                label: f"task={task},limit={limit},cross={cross}"
                for label, cross in DECODERS.items()
            }
            ours = {label: scores_of(runs, text) for label, text in texts.items()}
            for line in ordering(published, ours):
                lines.append(line._replace(what=f"{task} to {limit}: {line.what}"))
            rows |= {(task, str(limit), label): runs.get(t) for label, t in texts.items()}
        cells = {label: rows[task, str(LIMITS[-1]), label] for label in DECODERS}
        title = f"{task.replace('_', ' ')}: exact match by the source's length"
        figures += by_length(task, title, cells, LIMITS[-1], y="exact match", style=STYLES)
    return reproduction(lines, figures, scores_table(("task", "limit", "decoder"), rows))


def draw() -> None:
    """Draws the page, of the runs that are committed."""
    draw_page(HERE, found())
