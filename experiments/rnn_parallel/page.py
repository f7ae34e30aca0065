"""An RNN is not parallel over the sequence: depth and step time against length."""

from pathlib import Path

from benchmarks.scaling_tables import by_length
from experiments.checks import Costs
from experiments.costs import growth, ratio
from experiments.figures import costs
from experiments.pages import Found, claim, costs_of, draw_page
from experiments.rules import at_least

HERE = Path(__file__).parent
TITLE = "An RNN is not parallel over the sequence"
SHORT, LONG = 1024, 8192
PARALLEL = ("global", "conv", "lru")
DEEP, HALF = 10.0, 0.5
"""As often as many steps must follow one another; what Newton's method must leave of them."""
CHECK = Costs("rnn", "conv", 4096, ("width=32",))


def found(folder: Path = HERE) -> Found:
    """How many steps follow one another, beside each mixer that is parallel, and the time here."""
    scaling = costs_of(folder)
    said = f"at {LONG:,} positions"
    parts = [
        at_least(
            f"steps that must follow one another are counted {said}, against {mixer}",
            ratio(scaling, "sequential_depth", "rnn", mixer, LONG),
            DEEP,
            " times",
        )
        for mixer in PARALLEL
    ]
    deeper = growth(scaling, "sequential_depth", "rnn", SHORT, LONG)
    parts.append(
        at_least(f"they grow with the length, {SHORT:,} to {LONG:,}", deeper, 7.9, " times")
    )
    left = ratio(scaling, "sequential_depth", "newton", "rnn", LONG)
    parts.append(at_least("Newton's method computes it: what is left of them", left, HALF))
    parts += [
        at_least(
            f"a step's time counts on this machine {said}, against {mixer}",
            ratio(scaling, "step_seconds", "rnn", mixer, LONG),
            1.0,
            " times",
        )
        for mixer in (*PARALLEL, "newton")
    ]
    figures = costs("depth", "Steps that must follow one another", scaling, "sequential_depth")
    figures += costs("time", "A training step", scaling, "step_seconds")
    further = by_length(dict(scaling), "step_seconds") if scaling is not None else ""
    return claim(parts, figures, further)


def draw() -> None:
    """Draws the page, of the costs that are committed."""
    draw_page(HERE, found())
