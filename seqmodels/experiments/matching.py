"""Widths at which models of different mixers are of one size."""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from ml_collections import ConfigDict

from seqmodels.errors import ConfigError, UserError, nearest
from seqmodels.experiment import Experiment
from seqmodels.model import Model, build_model, count_parameters

Measure = Literal["parameters", "flops", "state"]
"""What is equal: parameters, forward FLOPs of a sequence, or bytes of state."""
MEASURES: tuple[str, ...] = get_args(Measure)

TOLERANCE = 0.03
_WIDEST = 65_536


class Size(NamedTuple):
    """What a model takes; of one sequence of training's length."""

    parameters: int
    flops: float
    """Of the forward pass."""
    state_bytes: int
    """To go on from; 0 where a model is not causal."""


class Match(NamedTuple):
    """A size that every model is brought to, within TOLERANCE of the target."""

    by: Measure
    target: float


def read_match(by: str | None, target: float | None) -> Match | None:
    """The match that --match and --target ask for.

    Raises:
      UserError: one of them stands alone, or is none that there is.
    """
    if by is None and target is None:
        return None
    if by not in MEASURES:
        raise UserError(f"--match={by} with --target={target:g}; {nearest(str(by), MEASURES)}")
    if target is None or target <= 0:
        raise UserError(f"--match={by} takes --target=NUMBER above 0: the {by} of every model")
    return Match(by, target)  # type: ignore[arg-type]


def measure(model: Model, length: int) -> Size:
    """The size of a model."""
    cost = model.cost(length)
    return Size(count_parameters(model), float(cost.flops), int(cost.state_bytes))


def match_width(experiment: Experiment, config: ConfigDict, match: Match, name: str) -> int:
    """The ``model.width`` that brings a config's model nearest to the target.

    Each measure is at most quadratic in the width: a parabola through three widths says where
    to look, twice where it rises and falls, and there the nearest widths that the model accepts
    are measured. Of two that are as near, the smaller is taken.

    Args:
      experiment: what the config describes.
      config: the config; its own width is of no account.
      match: what is to be equal.
      name: how a message calls the model.

    Raises:
      ConfigError: no width that the model accepts is within TOLERANCE of the target.
    """

    @cache
    def size(width: int) -> float | None:
        section: dict[str, Any] = dict(config.model.items()) | {"width": width}
        try:
            model = build_model(section, experiment.task.spec, experiment.train.length)
        except ConfigError:
            return None
        measured = measure(model, experiment.train.length)
        return {
            "parameters": float(measured.parameters),
            "flops": measured.flops,
            "state": float(measured.state_bytes),
        }[match.by]

    neighbours = []
    for start in _widths_near(size, match.target):
        below = (width for width in range(start, 0, -1) if size(width) is not None)
        above = (width for width in range(start + 1, 2 * start + 64) if size(width) is not None)
        neighbours += [w for w in (next(below, None), next(above, None)) if w is not None]
    errors = {width: abs((size(width) or 0.0) / match.target - 1) for width in neighbours}
    best = min(neighbours, key=lambda width: errors[width], default=None)
    if best is not None and errors[best] <= TOLERANCE:
        return best
    sizes = ", ".join(f"width {width} has {size(width):,.0f}" for width in neighbours) or "none"
    raise ConfigError(
        f"{name}: no width brings it to {match.by}={match.target:,.0f} within {TOLERANCE:.0%}; the "
        f"nearest that it accepts: {sizes}. Choose another --target"
    )


def _widths_near(size: Callable[[int], float | None], target: float) -> list[int]:
    """The widths at which the parabola through accepted widths meets the target, ascending."""
    # Multiples of 192 have many divisors, which heads and groups ask for.
    sizes = {width: size(width) for width in (192, 384, 576, 768, 960)}
    known = {width: value for width, value in sizes.items() if value is not None}
    if len(known) < 3:
        return [64]
    a, b, c = np.polyfit(list(known), list(known.values()), 2)
    roots = np.roots([a, b, c - target]) if abs(a) > 1e-9 else np.array([(target - c) / (b or 1.0)])
    real = [root.real for root in roots if abs(root.imag) < 1e-6 and 1 <= root.real <= _WIDEST]
    return sorted({int(root) for root in real}) or [1]
