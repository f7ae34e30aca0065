"""The verdicts of README.md, by one rule for all claims that a mixer solves a task or doesn't."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.document import replace_table
from benchmarks.scaling_tables import table
from experiments.cells import Cell, cells
from seqmodels.sweeps.records import read_records

HERE = Path(__file__).parent
COPYING = HERE.parent / "selective_copying"
"""Its runs are those of selective copying here."""
SOLVED, BELOW = 0.99, 0.2
"""A task is solved from this score on; what doesn't solve it stays so far below what does."""
RATES = 3
"""Runs of a mixer on a task at the least, before it is said what it doesn't do."""
UNFINISHED = "unfinished"


class Claim(NamedTuple):
    """What a paper says of mixers on a task."""

    task: str
    solves: tuple[str, ...]
    not_: tuple[str, ...]
    """Which of the others don't."""


CLAIMS = (
    Claim("parity", ("mamba_signed", "deltanet_signed"), ("mamba", "deltanet")),
    Claim("parity", ("slstm",), ("mlstm",)),
    Claim("s3", ("deltaproduct_2",), ("deltaproduct_1",)),
    Claim("selective_copy", ("mamba", "mingru"), ("lru", "s4d")),
)
STATES = ("recall", ("mamba2_4", "mamba2_8", "mamba2_16", "mamba2_32"))
"""A task, and mixers of equal width by ascending state: the score is claimed to rise with it."""
SHOWN = ("modular", ("mamba_signed", "deltanet_signed", "slstm", "mlstm"))
"""Shown without a verdict."""


def draw() -> None:
    """Writes the table, of the runs that are committed."""
    replace_table(str(HERE / "README.md"), "verdicts", text(read()))


def read() -> dict[str, Cell]:
    """The cells of the runs that are committed, here and in :data:`COPYING`."""
    copying = cells(read_records(COPYING / "results.json"))
    own = cells(read_records(HERE / "results.json"))
    return own | {f"task=selective_copy,{mixer}": cell for mixer, cell in copying.items()}


def text(found: Mapping[str, Cell]) -> str:
    """The table of some cells."""

    def cell(task: str, mixer: str) -> Cell | None:
        return found.get(f"task={task},mixer={mixer}")

    lines = [["task", "mixer", "claimed", "best test, %", "runs", "verdict"]]
    for claim in CLAIMS:
        solvers = [cell(claim.task, mixer) for mixer in claim.solves]
        solver = max((own.best for own in solvers if own is not None), default=None)
        for mixer in claim.solves:
            own = cell(claim.task, mixer)
            lines.append(_line(claim.task, mixer, "solves", own, solving(own)))
        for mixer in claim.not_:
            own = cell(claim.task, mixer)
            lines.append(_line(claim.task, mixer, "does not", own, failing(own, solver)))
    task, mixers = STATES
    sizes = [cell(task, mixer) for mixer in mixers]
    for place, (mixer, own) in enumerate(zip(mixers, sizes, strict=True)):
        before = sizes[place - 1] if place else None
        claimed = "rises" if place else "the least"
        lines.append(_line(task, mixer, claimed, own, rising(own, before) if place else ""))
    task, mixers = SHOWN
    lines += [_line(task, mixer, "", cell(task, mixer), "") for mixer in mixers]
    return table(lines)


def _line(task: str, mixer: str, claimed: str, cell: Cell | None, verdict: str) -> list[str]:
    if cell is None:
        return [task, mixer, claimed, "–", "0", "no run yet" if claimed else ""]
    return [task, mixer, claimed, f"{100 * cell.best:.1f}", str(len(cell.runs)), verdict]


def solving(cell: Cell | None) -> str:
    """The verdict on what is claimed to solve a task: one run does."""
    if cell is None or cell.best >= SOLVED:
        return "solves"
    if len(cell.runs) < RATES:
        return UNFINISHED
    return "does not" if has_seeds(cell) else "hangs on more seeds"


def failing(cell: Cell | None, solver: float | None) -> str:
    """The verdict on what is claimed not to: all of its runs stay below what solves it."""
    if solver is None or solver < SOLVED:
        return "nothing to hold it against"
    if cell is not None and len(cell.runs) < RATES and cell.best < SOLVED:
        return UNFINISHED
    if cell is None or cell.best <= solver - BELOW:
        return "does not"
    return "solves" if cell.best >= SOLVED else "neither"


def rising(cell: Cell | None, before: Cell | None) -> str:
    """The verdict on a larger state: its chosen rate scores higher than that of the one before."""
    if cell is None or before is None:
        return "no run yet"
    if min(len(cell.runs), len(before.runs)) < RATES:
        return UNFINISHED
    return "rises" if max(cell.tests) > max(before.tests) else "does not"


def has_seeds(cell: Cell) -> bool:
    """Whether a rate was repeated."""
    return len({run["overrides"].get("seed") for run in cell.runs}) > 1
