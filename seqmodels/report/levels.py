"""What scores are held against in a figure: lines of chance, as the runs have written it."""

from collections.abc import Iterable

from seqmodels.report.figure import Mark, Series
from seqmodels.report.reading import Content, StoredRun
from seqmodels.report.styles import GREY, Style
from seqmodels.report.values import Number, number
from seqmodels.tasks.chance import WORDS

STYLES: dict[str, Style] = {
    "chance": GREY,
    "shown_chance": GREY._replace(
        light="#8A6D3B", dark="#C4A66E", dash="dashdot", png_dash=(0, (5, 2, 1, 2))
    ),
    "threshold": GREY._replace(dash="dash", png_dash=(0, (5, 2))),
}


def with_levels(
    series: list[Series], held: Iterable[tuple[Number | None, Content]]
) -> list[Series]:
    """Series with a line for each level that is known at their places.

    ``held`` are places along the axis, and what states the levels there. Where one place has two
    levels, runs ask different things, and neither is drawn.
    """
    found: dict[str, dict[Number, set[Number]]] = {name: {} for name in WORDS}
    for place, content in held:
        for name, places in found.items():
            level = number(content.get(name))
            if place is not None and level is not None:
                places.setdefault(place, set()).add(level)
    lines = list(series)
    for name, places in found.items():
        points = [Mark(x, min(y)) for x, y in sorted(places.items()) if len(y) == 1]
        if points:
            lines.append(Series(WORDS[name], STYLES[name], points, "level"))
    return lines


def results_of(runs: Iterable[StoredRun]) -> list[Content]:
    """What the finished ones of some runs have written."""
    return [run.results for run in runs if run.results is not None]


def stored_levels(run: StoredRun, split: str) -> list[tuple[Number, Content]]:
    """By length, what lengths.json states beside the scores of a split's last step."""
    return [(int(length), entry) for length, entry in run.last_lengths.get(split, {}).items()]
