"""A run's score against the length, as a picture."""

from pathlib import Path

from seqmodels.drawing import BLUE, ORANGE, new_figure, save
from seqmodels.evaluation.lengths import LengthScores
from seqmodels.evaluation.runs import LoadedRun
from seqmodels.tasks.base import SHARES
from seqmodels.tasks.chance import WORDS

MANY, WIDE = 360, 16
"""A longest length and a ratio of lengths from which on their axis is a logarithm's."""


def draw_lengths(run: LoadedRun, scores: dict[int, LengthScores]) -> Path:
    """Draws a task's score against the length, with its interval, into the run's folder."""
    spec, trained = run.experiment.task.spec, run.experiment.train.length
    name = spec.score.replace("_", " ")
    figure = new_figure(6.0, 3.2, f"{run.workdir.path.name}: {name} by length")
    axes = figure.subplots()
    lengths = list(scores)
    found = [scores[length].metrics[spec.score] for length in lengths]
    low, high = [s.low for s in found], [s.high for s in found]
    axes.fill_between(lengths, low, high, color=BLUE, alpha=0.2)
    axes.plot(lengths, [s.mean for s in found], color=BLUE, marker="o", ms=4)
    for level, dash in zip(scores[lengths[0]].levels, (":", "-."), strict=False):
        held = [scores[length].levels[level] for length in lengths]
        axes.plot(lengths, held, color="gray", linestyle=dash, lw=1, label=WORDS[level])
    axes.axvline(trained, color=ORANGE, linestyle="--", label=f"longest in training: {trained:,}")
    axes.set_xlabel("length")
    axes.set_ylabel(f"{name}, 95% interval")
    if max(lengths) >= WIDE * min(lengths) and max(lengths) > MANY:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if spec.score in SHARES:
        axes.set_ylim(-0.03, 1.03)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    folder = run.workdir.path / "pictures"
    folder.mkdir(exist_ok=True)
    return save(figure, folder / "by-length.png")
