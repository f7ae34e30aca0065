"""The atlas of docs/atlas.md: sixteen mixers of all families, six questions, and the costs."""

import statistics
from pathlib import Path
from typing import NamedTuple

from benchmarks.scaling_tables import table
from configs.atlas import FAMILIES
from experiments.atlas.points import ACCURACIES, EIGHT, LENGTHS, LONGER, TRAINED
from experiments.cells import Cell, percent
from experiments.costs import Scaling, cost
from experiments.figures import KINDS, by_length, scores_map
from experiments.pages import DASH, Drawn, costs_of, runs_of
from experiments.rules import NO_RUN, SEEDS, difference
from seqmodels.report.figure import Axis, Figure, Mark, Series, pareto
from seqmodels.report.styles import GREY, Styles

QUESTIONS = {
    "selective_copy": "memory",
    "recall": "recall",
    "parity": "state tracking",
    "needle": "retrieval by distance",
    "digits": "reading pixels",
    "text": "source text",
}
"""By task what it stands for."""
KEPT = 0.9
"""The accuracy that an effective length keeps."""
MEASURED = 2048
"""Positions at which costs are compared."""
ROUNDING = 1e-9
GROWS = ("global", "hyena")
"""Those of the sixteen whose state grows with what they have read."""
Scores = dict[tuple[str, str], Cell]
"""By mixer and task."""


class Atlas(NamedTuple):
    """What there is."""

    trained: Scores
    """At 64."""
    longer: Scores
    """At 256."""
    scaling: Scaling


def read(folder: Path) -> Atlas:
    """The cells of a folder's runs, and its costs."""
    runs = runs_of(folder)
    return Atlas(_cells(runs, None), _cells(runs, LONGER), costs_of(folder))


def _cells(runs: dict[str, Cell], length: int | None) -> Scores:
    texts = {(m, t): where(t, m, length) for m in FAMILIES for t in QUESTIONS}
    return {place: runs[text] for place, text in texts.items() if text in runs}


def where(task: str, mixer: str, length: int | None = None) -> str:
    """The arguments of a cell, with a short convolution."""
    more = "" if length is None else f",length={length}"
    return f"task={task},mixer={mixer},short=on{more}"


def figures(atlas: Atlas) -> list[Drawn]:
    """Heat maps of both lengths, scores beyond them, and scores against costs."""
    drawn: list[Drawn] = []
    for name, cells, length, rows in (
        ("scores-64", atlas.trained, TRAINED, FAMILIES),
        ("scores-256", atlas.longer, LONGER, EIGHT),
    ):
        title = f"Test scores at {length}: accuracy in %, bits a byte of text"
        named = {(mixer, QUESTIONS[task]): cell for (mixer, task), cell in cells.items()}
        shades = {QUESTIONS["text"]: _ends(cells)}
        drawn += scores_map(name, title, rows, list(QUESTIONS.values()), named, shades)
    for task in ACCURACIES:
        cells = {mixer: atlas.longer.get((mixer, task)) for mixer in EIGHT}
        title = f"{QUESTIONS[task]}: trained at {LONGER}, asked to {LENGTHS[-1]:,}"
        if any(cell and cell.lengths for cell in cells.values()):
            drawn += by_length(f"{task}-by-length", title, cells, LONGER)
    return drawn + _against_costs(atlas)


def tables(atlas: Atlas) -> str:
    """Scores with their intervals, and effective lengths."""
    lines = [["mixer", *QUESTIONS.values(), "state, KiB", "step, ms", "MiB", "a token, ms"]]
    for mixer in FAMILIES:
        scores = [_shown(atlas.trained.get((mixer, task))) for task in QUESTIONS]
        lines.append([mixer, *scores, *_costs(atlas, mixer)])
    parts = [table(lines)]
    reached = [["mixer", *(QUESTIONS[task] for task in ACCURACIES)]]
    for mixer in EIGHT:
        cells = [atlas.longer.get((mixer, task)) for task in ACCURACIES]
        reached.append([mixer, *map(effective, cells)])
    said = f"Trained at {LONGER}, to which of the lengths asked {100 * KEPT:.0f}% are kept:"
    return "\n\n".join([*parts, f"{said}\n\n{table(reached)}"])


def effective(cell: Cell | None) -> str:
    """The greatest of the lengths asked up to which the mean score stays at 90%."""
    if cell is None or not cell.lengths:
        return DASH
    reached = None
    for length in cell.lengths:
        if statistics.fmean(cell.at(length)) < KEPT:
            break
        reached = length
    return "none" if reached is None else f"{reached:,}"


def findings(atlas: Atlas) -> str:
    """In plain words: of each question who scores most, who is no worse, and who of constant state;
    each names the cells that it is of."""
    lines = [line for task in QUESTIONS if (line := _finding(atlas.trained, task))]
    for task in ACCURACIES:
        kept = {m: effective(atlas.longer.get((m, task))) for m in EIGHT}
        far = [m for m, reached in kept.items() if reached == f"{LENGTHS[-1]:,}"]
        asked = [m for m, reached in kept.items() if reached != DASH]
        if asked:
            who = ", ".join(far) if far else "nobody"
            lines.append(
                f"- **{QUESTIONS[task]}**, trained at {LONGER} and asked at {LENGTHS[-1]:,}: "
                f"{who} of {len(asked)} keep {100 * KEPT:.0f}% all the way "
                f"(`{where(task, '*', LONGER)}`)."
            )
    return "\n".join(lines) or NO_RUN.capitalize() + "."


def _finding(cells: Scores, task: str) -> str | None:
    own = {m: cell for (m, t), cell in cells.items() if t == task and cell.seeds >= SEEDS}
    if len(own) < 2:
        return None
    sign = 1 if next(iter(own.values())).chosen[0]["higher_is_better"] else -1
    order = sorted(own, key=lambda mixer: -sign * statistics.fmean(own[mixer].tests))
    best = order[0]
    alike = [m for m in order[1:] if not _told_apart(own[best], own[m])]
    said = f"- **{QUESTIONS[task]}**: {best} is best with {_shown(own[best])}"
    said += f"; not told apart from it: {', '.join(alike)}" if alike else "; all others score less"
    constant = [mixer for mixer in order if mixer not in GROWS]
    if best in GROWS and constant:
        said += f". Of those whose state doesn't grow {constant[0]}, {_shown(own[constant[0]])}"
    lost = [m for m in order if _by_chance(own[m])]
    if lost:
        said += f". No better than chance: {', '.join(lost)}"
    return f"{said} (`{where(task, '*')}`)."


def _told_apart(best: Cell, other: Cell) -> bool:
    """Whether the interval of their difference leaves out 0."""
    mean, half = difference(best.tests, other.tests)
    return abs(mean) > half


def _by_chance(cell: Cell) -> bool:
    chance = cell.chosen[0].get("chance")
    if chance is None or not cell.chosen[0]["higher_is_better"]:
        return False
    mean, half = difference(cell.tests, [chance, chance])
    return mean <= half + ROUNDING


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return DASH
    if cell.chosen[0]["higher_is_better"]:
        return percent(cell.tests)
    return f"{statistics.fmean(cell.tests):.3f} ({cell.seeds})"


def _costs(atlas: Atlas, mixer: str) -> list[str]:
    """State of a run at 64; step, temporaries and a token of the scaling table."""
    state = _state(atlas.trained, mixer)
    step, memory, token = (
        cost(atlas.scaling, quantity, mixer, MEASURED)
        for quantity in ("step_seconds", "temporary_bytes", "decode_seconds")
    )
    amounts = ((state, 2**10), (step, 1e-3), (memory, 2**20), (token, 1e-3))
    return [DASH if value is None else f"{value / unit:.3g}" for value, unit in amounts]


def _state(cells: Scores, mixer: str) -> float | None:
    known = (cell for (m, t), cell in cells.items() if m == mixer and t == "recall")
    return next((cell.chosen[0]["cost"]["state_bytes"] for cell in known), None)


def _ends(cells: Scores) -> tuple[float, float]:
    """Of text the bits that are white and blue: the most and the least."""
    means = [statistics.fmean(cell.tests) for (_, task), cell in cells.items() if task == "text"]
    return (max(means), min(means)) if means else (8.0, 0.0)


def _against_costs(atlas: Atlas) -> list[Figure]:
    """The mean of all questions, from chance to right, against each cost, with its front."""
    drawn = []
    for quantity, said in (
        ("state_bytes", "state at 64 positions"),
        ("step_seconds", f"a training step at {MEASURED:,}"),
        ("temporary_bytes", f"its temporaries at {MEASURED:,}"),
        ("decode_seconds", "a token"),
    ):
        points = {}
        for mixer in FAMILIES:
            score = _mean_share(atlas.trained, mixer)
            own = (
                _state(atlas.trained, mixer)
                if quantity == "state_bytes"
                else cost(atlas.scaling, quantity, mixer, MEASURED)
            )
            if score is not None and own:
                points[mixer] = Mark(own, score)
        if len(points) > 1:
            styles = Styles()
            series = [Series(m, styles[m], [mark], "points", end=m) for m, mark in points.items()]
            front = pareto(list(points.values()), higher_is_better=True)
            series.append(Series("front", GREY, front, "front"))
            kind = KINDS[quantity.rpartition("_")[2]]
            axes = Axis(said, kind, log=True), Axis("mean of the questions, from chance to right")
            name = quantity.partition("_")[0]
            title = f"Score against {said}"
            drawn.append(Figure(f"against-{name}", title, title, *axes, series))
    return drawn


def _mean_share(cells: Scores, mixer: str) -> float | None:
    """The mean over accuracies of where a score lies between chance and 1; None unless all are
    there."""
    shares = []
    for task in QUESTIONS:
        if task == "text":
            continue
        cell = cells.get((mixer, task))
        if cell is None:
            return None
        chance = cell.chosen[0].get("chance", 0.0)
        shares.append((statistics.fmean(cell.tests) - chance) / (1 - chance))
    return statistics.fmean(shares)
