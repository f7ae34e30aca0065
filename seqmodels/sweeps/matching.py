"""Widths at which models of different mixers are of one size."""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, get_args

import numpy as np
from ml_collections import ConfigDict

from seqmodels.config import override
from seqmodels.errors import ConfigError, UserError, nearest
from seqmodels.model import build_model, count_parameters
from seqmodels.sweeps.files import Measure
from seqmodels.training.experiment import Experiment
from seqmodels.training.resolving import settable

MEASURES: tuple[str, ...] = get_args(Measure)

TOLERANCE = 0.03
WIDTH = "model.width"
"""What a match sets, but for one in seconds."""
NEAR = 8
"""Accepted widths on either side that are measured for a target that all can meet."""
_WIDEST = 65_536


class Size(NamedTuple):
    """What a model takes; of one sequence of training's length."""

    parameters: int
    flops: float
    """Of the forward pass."""
    state_bytes: int
    """To go on from; 0 where a model is not causal."""

    def by(self, measure: Measure) -> float:
        """It in one measure."""
        sizes = {"parameters": self.parameters, "flops": self.flops, "state": self.state_bytes}
        return float(sizes[measure])


class Match(NamedTuple):
    """A size that every model is brought to, within TOLERANCE of the target."""

    by: Measure
    target: float
    state: float | None = None
    """Bytes of state that they are brought to besides, by a setting of their mixers' own
    (:mod:`seqmodels.sweeps.state_matching`); None where they keep what the width gives."""


class Met(NamedTuple):
    """What brought a model to the match when its sweep was planned before, and the size it had."""

    settings: dict[str, Any]
    size: Size

    def holds(self, experiment: Experiment, config: ConfigDict) -> bool:
        """Whether a config's model has that very size by them: then they need not be sought."""
        now: Any = config.copy_and_resolve_references()
        try:
            for key, value in self.settings.items():
                override(now, key, str(value), settable)
            model = build_model(now.model, experiment.task.spec, experiment.train.length)
        except ConfigError:
            return False
        return measure(experiment._replace(model=model)) == self.size


def read_match(by: str | None, target: str | float | None) -> Match | None:
    """The match that is asked for: ``parameters`` and ``108000``, or of two things
    ``parameters,state`` and ``108000,16384``.

    Raises:
      UserError: one of them stands alone, or is none that there is.
    """
    if by is None and target is None:
        return None
    first, *second = measures = (by or "").split(",")
    if first not in MEASURES:
        raise UserError(f"match={by} with target={target}; {nearest(first, MEASURES)}")
    if second and (second != ["state"] or first not in ("parameters", "flops")):
        raise UserError(
            f"match={by} is no pair that can be matched; take parameters,state or flops,state"
        )
    try:
        targets = [] if target is None else [float(text) for text in str(target).split(",")]
    except ValueError:
        targets = []
    if len(targets) != len(measures) or not all(0 < number < math.inf for number in targets):
        numbers = ",".join(["NUMBER"] * len(measures))
        raise UserError(
            f"match={by} takes target={numbers} above 0, the {' and the '.join(measures)} of every "
            f"model; it is {target}"
        )
    return Match(first, *targets)  # type: ignore[arg-type]


def measure(experiment: Experiment) -> Size:
    cost = experiment.cost()
    return Size(count_parameters(experiment.model), float(cost.flops), cost.state_bytes)


class UnmatchedError(ConfigError):
    """A target that no width of a model meets."""


def match_width(experiment: Experiment, config: ConfigDict, match: Match, name: str) -> int:
    """The ``model.width`` that brings a config's model nearest to the target.

    Each measure is at most quadratic in the width: a parabola through three widths says where
    to look, twice where it rises and falls, and there the nearest widths that the model accepts
    are measured. Of two that are as near, the smaller is taken. The config's own width is of no
    account; ``name`` is how a message calls the model.

    Raises:
      UnmatchedError: no width that the model accepts is within TOLERANCE of the target.
    """
    size = _sizes(experiment, config, match)
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
    raise UnmatchedError(
        f"{name}: no width brings it to {match.by}={match.target:,.0f} within {TOLERANCE:.0%}; the "
        f"nearest that it accepts: {sizes}"
    )


def _sizes(experiment: Experiment, config: Any, match: Match) -> Callable[[int], float | None]:
    """The measure of a config's model by its width; None of a width that it does not accept."""

    @cache
    def size(width: int) -> float | None:
        section: dict[str, Any] = dict(config.model.items()) | {"width": width}
        try:
            model = build_model(section, experiment.task.spec, experiment.train.length)
        except ConfigError:
            return None
        return measure(experiment._replace(model=model)).by(match.by)

    return size


def common_targets(models: Sequence[tuple[Experiment, ConfigDict]], match: Match) -> str:
    """What to do where a target can't be met by all: the nearest ones that can, below and above.

    Of each model the sizes are known that it has at the accepted widths about the one that would
    meet the target; sizes near which all have one are named, to two digits or as many as it takes.
    """
    found = [_sizes_near(_sizes(*model, match), match.target) for model in models]
    met = [
        target
        for target in sorted({_short(value) for values in found for value in values})
        if all(any(abs(v / target - 1) <= TOLERANCE for v in values) for values in found)
    ]
    below = [f"{target:.12g}" for target in met if target < match.target][-1:]
    above = [f"{target:.12g}" for target in met if target > match.target][:1]
    if not met:
        return f"no target near it is met by all of the {len(models)} models; match fewer of them"
    return f"all models meet target={' or target='.join(below + above)}"


def _short(value: float) -> float:
    """A size in as few digits as lie within a tenth of the tolerance of it."""
    return next(
        short
        for digits in range(2, 17)
        if abs((short := float(f"{value:.{digits}g}")) / value - 1) <= TOLERANCE / 10
    )


def _sizes_near(size: Callable[[int], float | None], target: float) -> list[float]:
    """The sizes at the accepted widths next to the one that would have the target's size."""
    found = []
    for start in _widths_near(size, target):
        for widths in (range(start, 0, -1), range(start + 1, 4 * start + 256)):
            accepted = (value for width in widths if (value := size(width)))
            found += itertools.islice(accepted, NEAR)
    return found


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
