"""What a run leaves behind at its end: a picture, ``results.json``, and a line that says so."""

from collections.abc import Mapping
from typing import Any

from seqmodels.output import decoration
from seqmodels.training.curve import draw_learning_curve
from seqmodels.training.processes import is_first, say, warn
from seqmodels.training.progress import format_value
from seqmodels.training.workdir import Workdir


def leave_results(
    workdir: Workdir, results: dict[str, Any], score: str, levels: Mapping[str, float]
) -> None:
    """Writes the results of a run, last of all its files.

    ``levels`` are what the score is held against (:func:`seqmodels.tasks.chance.levels`).
    """
    picture = workdir.path / "learning-curve.png"
    if is_first():
        with decoration(f"{picture} can't be drawn", warn):
            draw_learning_curve(workdir.metrics, picture, score, workdir.path.name, levels)
    workdir.write("results.json", results)
    scores = ", ".join(
        f"{split} {format_value(results[split][score])}" for split in ("validation", "test")
    )
    say(
        f"finished in {results['seconds']:.0f} s: {score} {scores}, chance "
        f"{format_value(levels['chance'])} (best checkpoint, step {results['best_step']}); the run "
        f"lies in {workdir.path}"
    )
