"""Widths and settings at which models have one size and one state, of two things at a time.

The width decides most of a model's size, and a setting of its mixers' own most of its state: of how
many states, of how wide keys, of how long a window (:attr:`seqmodels.mixers.Mixer.state_settings`).
At every width the setting is that which brings the state nearest to its target; among widths the
one is looked for that brings the size nearest to its own.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from seqmodels.config import override, to_dict
from seqmodels.errors import ConfigError
from seqmodels.mixers import MIXERS
from seqmodels.model import build_model
from seqmodels.sweeps.matching import TOLERANCE, WIDTH, Match, UnmatchedError, measure
from seqmodels.training.experiment import Experiment
from seqmodels.training.resolving import resolved

ROUNDS = 12
"""Widths that are tried on the way to one that meets the size; it takes three or four."""
AROUND = 16
"""Settings on either side that are looked through for some that a model accepts."""
LARGEST = 65_536
"""The largest setting that is tried."""
WIDTHS = 64
"""Widths that are looked through, one after the other, for one that a model accepts."""


class Found(NamedTuple):
    """A width, what the mixers' setting is there, and what the model then takes."""

    values: dict[str, Any]
    """Overrides by dotted key."""
    size: float
    state: float

    def error(self, match: Match) -> float:
        """The larger of its two distances from the targets, as a share of them."""
        assert match.state is not None
        return max(abs(self.size / match.target - 1), abs(self.state / match.state - 1))


def match_both(
    experiment: Experiment, config: ConfigDict, match: Match, name: str
) -> dict[str, Any]:
    """The width and the mixers' setting that bring a config's model to both targets, as overrides.

    All mixers of the model get the same setting. The config's own width and setting
    are of no account; ``name`` is how a message calls the model.

    Raises:
      UnmatchedError: its mixers have several such settings, or both targets are met at no width
        within TOLERANCE: the nearest one is told.
    """
    config = resolved(config)
    keys = _settings(config, name)
    at = _by_width(experiment, config, match, keys)
    tried: list[Found] = []
    width = 64
    for _ in range(ROUNDS):
        found = _accepted(at, width, 1)
        if found is None or found in tried:
            break
        tried.append(found)
        # About quadratic in the width.
        width = max(1, round(found.values[WIDTH] * math.sqrt(match.target / found.size)))
    if tried:
        middle = min(tried, key=lambda found: found.error(match)).values[WIDTH]
        beside = (_accepted(at, middle + step, step) for step in (-1, 1))
        tried += [found for found in beside if found is not None]
    best = min(tried, key=lambda f: (f.error(match), f.values[WIDTH]), default=None)
    if best is not None and best.error(match) <= TOLERANCE:
        return best.values
    nearest = "the model accepts no width"
    if best is not None:
        where = ", ".join(f"{key}={value}" for key, value in best.values.items())
        nearest = f"at {where}, the nearest, they are {best.size:,.0f} and {best.state:,.0f}"
    advice = "" if keys else ": no setting of its mixers changes the state; match one of the two"
    raise UnmatchedError(
        f"{name}: nothing brings it to {match.by}={match.target:,.0f} and state={match.state:,.0f} "
        f"within {TOLERANCE:.0%}; {nearest}{advice}"
    )


def _settings(config: Any, name: str) -> dict[str, bool]:
    """The dotted keys of the setting by which the mixers' state grows; whether it is a share.

    Of a model that reads and writes, what goes on from a state is what writes.
    """
    keys = {}
    stack, path = config.model, "model"
    if "decoder" in stack:
        stack, path = stack.decoder, "model.decoder"
    for mixer, section in stack.mixers.items():
        own = MIXERS[section.kind].state_settings
        if own:
            setting = next((key for key in own if section[key] is not None), own[-1])
            keys[f"{path}.mixers.{mixer}.{setting}"] = isinstance(section[setting], float)
    if len({key.rpartition(".")[2] for key in keys}) > 1:
        raise UnmatchedError(
            f"{name}: the state of its mixers follows from several settings, {', '.join(keys)}; "
            "match one of the two, or mixers of one kind"
        )
    return keys


def _by_width(
    experiment: Experiment, config: ConfigDict, match: Match, keys: Mapping[str, bool]
) -> Callable[[int], Found | None]:
    """What a model takes at a width, with the setting nearest to the state that is wanted.

    A whole number is tried as it is, and of a share of the width what makes it whole features.
    """
    assert match.state is not None
    target = match.state

    @cache
    def found(width: int, steps: int) -> Found | None:
        shares = {key: steps / width if share else steps for key, share in keys.items()}
        values: dict[str, Any] = {WIDTH: width} | shares
        changed = ConfigDict(to_dict(config))
        try:
            for key, value in values.items():
                override(changed, key, str(value))
            section: Any = changed.model
            model = build_model(section, experiment.task.spec, experiment.train.length)
        except ConfigError:
            return None
        size = measure(experiment._replace(model=model))
        return Found(values, size.by(match.by), float(size.state_bytes))

    def accepted(width: int, steps: Iterable[int]) -> Found | None:
        return next((made for n in steps if (made := found(width, n)) is not None), None)

    @cache
    def at(width: int) -> Found | None:
        first = accepted(width, range(1, AROUND + 1))
        if first is None or not keys:
            return first
        one = next(n for n in range(1, AROUND + 1) if found(width, n) is not None)
        two = next((n for n in range(one + 1, one + AROUND) if found(width, n) is not None), None)
        if two is None:
            return first
        second = found(width, two)
        assert second is not None
        grows = (second.state - first.state) / (two - one)
        if grows <= 0:
            return first
        # The state is a constant and a multiple of the steps.
        wanted = min(LARGEST, max(one, int(one + (target - first.state) // grows)))
        beside = (
            accepted(width, range(wanted, max(0, wanted - AROUND), -1)),
            accepted(width, range(wanted + 1, wanted + AROUND)),
        )
        choice = [made for made in beside if made is not None] or [first]
        return min(choice, key=lambda made: abs(made.state - target))

    return at


def _accepted(at: Callable[[int], Found | None], width: int, step: int) -> Found | None:
    """What a model takes at the first width that it accepts, from one on in a direction."""
    widths = (width + step * place for place in range(WIDTHS))
    return next((made for w in widths if w >= 1 and (made := at(w)) is not None), None)
