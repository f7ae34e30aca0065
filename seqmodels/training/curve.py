"""The learning curve of a run, as a picture."""

from collections.abc import Mapping
from pathlib import Path

from seqmodels.drawing import (
    BLUE,
    ORANGE,
    distinct_texts,
    log_ticks,
    mark_log_axis,
    new_figure,
    save,
)
from seqmodels.tasks.chance import WORDS
from seqmodels.training.metrics import read_events

COLOURS = {"train": BLUE, "validation": ORANGE}


def draw_learning_curve(
    events: Path, picture: Path, score: str, title: str, levels: Mapping[str, float]
) -> None:
    """Draws loss and score against the step, for training and validation.

    Args:
      events: the ``metrics.jsonl`` of a run.
      levels: what the score is held against (:func:`seqmodels.tasks.chance.levels`).
    """
    figure = new_figure(8.0, 3.2, title)
    recorded = read_events(events)
    names = ["loss", score]
    for axes, name in zip(figure.subplots(1, 2), names, strict=True):
        shown: list[float] = []
        for split, colour in COLOURS.items():
            own = [e for e in recorded if e["split"] == split]
            points = [(e["step"], e[name]) for e in own if name in e]
            if points:
                shown += [value for _, value in points]
                marker = "o" if split == "validation" else None
                axes.plot(
                    *zip(*points, strict=True), color=colour, label=split, marker=marker, ms=3
                )
        if name == score:
            for (level, at), dash in zip(levels.items(), (":", "-."), strict=False):
                axes.axhline(at, color="gray", linestyle=dash, lw=1, label=WORDS[level])
        axes.set_xlabel("step")
        axes.set_ylabel("loss (nats)" if name == "loss" else name.replace("_", " "))
        if name == "loss" and all(value > 0 for value in shown):
            axes.set_yscale("log")
            ticks = log_ticks(shown)
            texts = distinct_texts(ticks, lambda tick, more: f"{tick:.{4 + more}g}")
            mark_log_axis(axes.yaxis, ticks, texts)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(frameon=False)
    save(figure, picture)
