"""Attention in an RNN lets it look at other parts of the input, at each step."""

from pathlib import Path
from typing import TypedDict

from experiments.checks import Training
from experiments.figures import by_length
from experiments.pages import Found, claim, draw_page, runs_of, scores_table
from experiments.rules import beats, matches, reaches
from seqmodels.json_files import read_json

HERE = Path(__file__).parent
TITLE = "Attention in an RNN lets it look at other parts of the input"
MIXERS = {"with attention": "cross=additive", "without": "cross=none"}
LENGTHS = (5, 10, 15, 20)
LOOKS = 0.9
"""Of the written symbols so many are looked up at the place that is theirs."""
CHECK = Training("experiments/attention_in_rnn/config.py:cross=additive", ("train.steps=600",))


class Alignment(TypedDict):
    """A line of ``alignment.json``: where a run's attention looks."""

    name: str
    """Of the run."""
    seed: int
    share: float
    """Of written symbols those at which the largest weight lies on the symbol of the source that
    they repeat."""
    weight: float
    """The mean weight there."""
    chance: float


def found(folder: Path = HERE) -> Found:
    """Exact match by the source's length, and the alignment that was measured."""
    runs = runs_of(folder)
    cells = {label: runs.get(text) for label, text in MIXERS.items()}
    with_, without = ({n: c.at(n) if c else [] for n in LENGTHS} for c in cells.values())
    parts = [beats(f"sources have {n} symbols", with_[n], without[n]) for n in LENGTHS]
    shortest, longest = LENGTHS[0], LENGTHS[-1]
    parts.append(matches("scores stay as sources grow", with_[longest], with_[shortest]))
    looked = read_json(folder / "alignment.json", list[Alignment]) or []
    shares = [line["share"] for line in looked]
    parts.append(reaches("its weights are held against the true places", shares, LOOKS))
    styles = {"with attention": "hybrid", "without": "gru"}
    title = "Exact match by the source's length"
    figures = by_length("length", title, cells, 20, y="exact match", style=styles)
    rows = {(label,): cell for label, cell in cells.items()}
    return claim(parts, figures, scores_table(("decoder",), rows))


def draw() -> None:
    """Draws the page, of the runs that are committed."""
    draw_page(HERE, found())
