"""An RNN is good at long sequences: held against attention, a question at a time."""

from pathlib import Path

from experiments.cells import best_of, scores_of
from experiments.checks import Training
from experiments.figures import scores_map
from experiments.pages import Found, claim, draw_page, runs_of, scores_table
from experiments.rules import matches

HERE = Path(__file__).parent
TITLE = "An RNN is good at long sequences"
RECURRENT = ("rnn", "lstm", "gru")
MIXERS = (*RECURRENT, "conv", "global")
QUESTIONS = {
    "needle": "one token is to be found again",
    "copy": "ten symbols are to be held",
    "recall": "values are to be looked up by their keys",
    "parity": "a parity is tracked",
    "modular_arithmetic": "sums and products modulo 5 are tracked",
    "word_problem": "a permutation of three is tracked",
}
"""By task the circumstances that it stands for."""
CHECK = Training("experiments/rnn_long/config.py:task=parity,mixer=lstm", ("train.steps=300",))


def found(folder: Path = HERE) -> Found:
    """Of each task whether the best recurrent network is no worse than attention."""
    cells = runs_of(folder)
    parts = []
    for task, when in QUESTIONS.items():
        recurrent = best_of(cells, (f"task={task},mixer={mixer}" for mixer in RECURRENT))
        scores = recurrent.tests if recurrent is not None else []
        parts.append(matches(when, scores, scores_of(cells, f"task={task},mixer=global")))
    by_place = {(m, t): cells.get(f"task={t},mixer={m}") for m in MIXERS for t in QUESTIONS}
    figures = scores_map("scores", "Test accuracy at 64, %", MIXERS, list(QUESTIONS), by_place)
    rows = {(t, m): by_place[m, t] for t in QUESTIONS for m in MIXERS}
    return claim(parts, figures, scores_table(("task", "mixer"), rows))


def draw() -> None:
    """Draws the page, of the runs that are committed."""
    draw_page(HERE, found())
