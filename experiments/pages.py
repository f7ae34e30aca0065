"""What an experiment's page shows, drawn between the comments of its README and of docs/."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.document import replace_table
from benchmarks.scaling_tables import table
from experiments.cells import Cell, cells, percent
from experiments.figures import save
from experiments.rules import Line, Part, landing, verdict
from seqmodels.output import warn
from seqmodels.report.figure import Figure
from seqmodels.report.heat_map import HeatMap
from seqmodels.scaling.files import ScalingFile, read_scaling
from seqmodels.sweeps.records import read_records

ROOT = Path(__file__).parents[1]
DASH = "–"
Drawn = Figure | HeatMap


class Found(NamedTuple):
    """What came of an experiment, by its committed runs."""

    verdict: str
    table: str
    """What the verdict follows from."""
    figures: Sequence[Drawn] = ()
    further: str = ""
    """More tables, for its own page alone."""


def claim(parts: Sequence[Part], figures: Sequence[Drawn] = (), further: str = "") -> Found:
    """That of a claim: its parts, and whether each holds."""
    words = {None: DASH, True: "holds", False: "does not hold"}
    lines = [["holds when", "measured", "verdict"]]
    lines += [[part.when, part.measured, words[part.holds]] for part in parts]
    return Found(verdict(parts), table(lines), figures, further)


def reproduction(lines: Sequence[Line], figures: Sequence[Drawn] = (), further: str = "") -> Found:
    """That of a paper's result: published, ours and whether it lands."""
    words = {None: DASH, True: "lands", False: "does not land"}
    rows = [["result", "published", "ours", "failed seeds", "verdict"]]
    rows += [
        [line.what, line.published, line.shown, line.failed or DASH, words[line.lands]]
        for line in lines
    ]
    return Found(landing(lines), table(rows), figures, further)


def draw_page(folder: Path, found: Found) -> None:
    """Writes what was found between the comments of a folder's README, and its figures beside."""
    replace_table(str(folder / "README.md"), "results", page_text(folder, found))


def page_text(folder: Path, found: Found) -> str:
    """The verdict, the table, the figures and all else."""
    shown = [save(figure, folder) for figure in found.figures]
    parts = [f"Verdict: {found.verdict}.", found.table, *shown, found.further]
    return "\n\n".join(filter(None, parts))


def section(
    number: int, title: str, folder: Path, found: Found, document: Path, further: bool
) -> str:
    """What a page of docs/ has of an experiment; its figures, drawn before, lie in its folder.

    ``further`` is whether that shows what follows the verdict's table, such as the rate sweep.
    """
    place = os.path.relpath(folder, document.parent)
    shown = [f"![{figure.title}]({place}/{figure.name}.png)" for figure in found.figures]
    head = f"## {number}. {title}\n\n{_sentence(found.verdict)} [How]({place}/README.md):"
    parts = [head, commands_of(folder), found.table, *shown, found.further if further else ""]
    return "\n\n".join(filter(None, parts))


def commands_of(folder: Path) -> str:
    """The commands in a folder's README, as they stand there."""
    found = re.search(r"```sh\n.*?```", (folder / "README.md").read_text("utf-8"), re.DOTALL)
    return "" if found is None else found.group()


def _sentence(said: str) -> str:
    """With a capital, also behind an asterisk, and a full stop."""
    place = 1 if said.startswith("*") else 0
    return f"{said[:place]}{said[place].upper()}{said[place + 1 :]}."


def runs_of(folder: Path) -> dict[str, Cell]:
    """The cells of a folder's ``results.json``, by the text of their arguments."""
    return cells(read_records(folder / "results.json"))


def costs_of(folder: Path) -> ScalingFile | None:
    """A folder's ``scaling.json``, of a machine that was quiet; None where there is none."""
    return read_scaling(folder, lambda error: warn(str(error)))


def scores_table(
    heads: Sequence[str], rows: Mapping[tuple[str, ...], Cell | None], more: str = ""
) -> str:
    """A row a cell: its score, the parameters, the median step and each rate's validation.

    Args:
      heads: of what names a row.
      more: said before it.
    """
    lines = [[*heads, "test, %", "parameters", "step, ms", "by rate, on validation"]]
    for names, cell in rows.items():
        lines.append([*names, *(_described(cell) if cell else [DASH] * 4)])
    return f"{more}\n\n{table(lines)}" if more else table(lines)


def _described(cell: Cell) -> list[str]:
    steps = [run["cost"]["step_seconds"] for run in cell.chosen]
    known = [1e3 * step for step in steps if step is not None]
    share = cell.chosen[0]["higher_is_better"] and cell.chosen[0]["score"] != "bits_per_byte"
    score = percent(cell.tests) if share else ", ".join(f"{value:.3g}" for value in cell.tests)
    return [
        score,
        f"{cell.chosen[0]['parameters']:,}",
        f"{sum(known) / len(known):.3g}" if known else DASH,
        rates_text(cell),
    ]


def rates_text(cell: Cell) -> str:
    """What each rate validated, the best seed of it.

    Of a rate sweep: ``0.001 97.1, 0.003 99.0``.
    """
    better: Callable[..., float] = max if cell.chosen[0]["higher_is_better"] else min
    scale, digits = (100, ".1f") if cell.chosen[0]["higher_is_better"] else (1, ".3g")
    said = (f"{rate:g} {scale * better(of):{digits}}" for rate, of in cell.rates().items())
    return ", ".join(said) or DASH
