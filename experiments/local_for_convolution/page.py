"""Convolution can be replaced by local attention: digits as grids and rows, by extent."""

import statistics
from pathlib import Path

from experiments.cells import Cell, scores_of
from experiments.checks import Training
from experiments.figures import curves
from experiments.local_for_convolution.config import EXTENTS, KINDS
from experiments.pages import Found, claim, draw_page, runs_of, scores_table
from experiments.rules import at_most, matches
from seqmodels.report.figure import Axis

HERE = Path(__file__).parent
TITLE = "Convolution can be replaced by local attention"
LAYOUTS = ("grid", "sequence")
STYLES = {"convolution": "conv", "neighbourhood_attention": "neighbourhood"}
"""Whose colours they have."""
CHECK = Training(
    "experiments/local_for_convolution/config.py:layout=grid,mixer=convolution,extent=3",
    ("train.steps=150", "train.evaluate_every=150"),
)


def found(folder: Path = HERE) -> Found:
    """Accuracy no worse by 5 points at each extent; no more parameters; no longer a step."""
    runs = runs_of(folder)
    parts, rows = [], {}
    for layout in LAYOUTS:
        for extent in EXTENTS:
            texts = [f"layout={layout},mixer={kind},extent={extent}" for kind in KINDS]
            for kind, text in zip(KINDS, texts, strict=True):
                rows[layout, str(extent), kind] = runs.get(text)
            convolution, attention = (scores_of(runs, text) for text in texts)
            when = f"accuracy counts, on a {layout} with kernels of {extent}"
            parts.append(matches(when, attention, convolution))
        wide = [runs.get(f"layout={layout},mixer={kind},extent={EXTENTS[-1]}") for kind in KINDS]
        for name, of in (("parameters", _parameters), ("a step's time", _step)):
            when = f"{name} count, on a {layout} with kernels of {EXTENTS[-1]}"
            parts.append(at_most(when, _ratio(wide, of), 1.0, " times"))
    figures = []
    for layout in LAYOUTS:
        lines = {
            kind: {e: scores_of(runs, f"layout={layout},mixer={kind},extent={e}") for e in EXTENTS}
            for kind in KINDS
        }
        title, axis = f"Digits as a {layout}: accuracy by extent", Axis("extent", "count")
        figures += curves(layout, title, axis, lines, style=STYLES)
    return claim(parts, figures, scores_table(("layout", "extent", "mixer"), rows))


def _ratio(pair: list[Cell | None], of) -> float | None:
    """Of what attention takes and the convolution does; None where one has no run."""
    convolution, attention = (None if cell is None else of(cell) for cell in pair)
    return attention / convolution if attention and convolution else None


def _parameters(cell: Cell) -> float:
    return cell.chosen[0]["parameters"]


def _step(cell: Cell) -> float | None:
    known = [run["cost"]["step_seconds"] for run in cell.chosen]
    return statistics.median(seconds for seconds in known if seconds) if any(known) else None


def draw() -> None:
    """Draws the page, of the runs that are committed."""
    draw_page(HERE, found())
