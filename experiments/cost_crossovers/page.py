"""From which length on linear mixers cost less than attention, and minGRU less than a GRU."""

from pathlib import Path

from benchmarks.scaling_tables import by_length
from experiments.checks import Costs
from experiments.costs import Scaling, cost, crossover, ratio
from experiments.figures import costs
from experiments.pages import Found, costs_of, draw_page, reproduction
from experiments.rules import NO_RUN, Line

HERE = Path(__file__).parent
TITLE = "Cost against length: who is cheaper from where on"
LENGTHS = (512, 2048, 4096, 8192, 16_384)
CHECK = Costs("gru", "mingru", 4096)


def found(folder: Path = HERE) -> Found:
    """The orders that are published, in the times of this machine."""
    scaling = costs_of(folder)
    lines = [
        _dearer(scaling, "mamba", "transformer", 2048, "Mamba is slower at 2,048"),
        _dearer(scaling, "transformer", "mamba", 8192, "and faster at 8,192"),
        _crosses(scaling, "linear_attention", "2,048 to 4,096", (2048, 4096)),
        _dearer(scaling, "gru", "mingru", 512, "minGRU 175 times as fast, on a GPU"),
        _dearer(scaling, "gru", "mingru", 4096, "1,324 times, on a GPU"),
        _dearer(
            scaling, "transformer", "local", 4096, "local attention 5.3 times as fast, on TPUs"
        ),
    ]
    figures = costs("time", "A training step against the length", scaling, "step_seconds")
    figures += costs("memory", "Its temporaries", scaling, "temporary_bytes")
    further = "" if scaling is None else by_length(dict(scaling), "step_seconds")
    return reproduction(lines, figures, further)


def _dearer(scaling: Scaling, dearer: str, cheaper: str, length: int, said: str) -> Line:
    """Lands where one takes longer than the other, as published."""
    found = ratio(scaling, "step_seconds", dearer, cheaper, length)
    what = f"a step of {dearer} is dearer than {cheaper}'s at {length:,}"
    if found is None:
        return Line(what, said, (), NO_RUN, None)
    return Line(what, said, (found,), f"{found:.3g} times", found > 1)


def _crosses(scaling: Scaling, mixer: str, said: str, within: tuple[int, int]) -> Line:
    """Lands where it becomes cheaper than attention at one of the lengths from one to another."""
    what = f"a step of {mixer} becomes cheaper than attention's"
    if cost(scaling, "step_seconds", mixer, within[1]) is None:
        return Line(what, said, (), NO_RUN, None)
    found = crossover(scaling, "step_seconds", "global", mixer)
    shown = "at none" if found is None else f"at {found:,} of the lengths measured"
    return Line(what, said, (), shown, found is not None and within[0] <= found <= within[1])


def draw() -> None:
    """Draws the page, of the costs that are committed."""
    draw_page(HERE, found())
