"""The points of a sweep, made of products, zips and chains.

``sweep()`` in a config file returns a list of points. A point is a dict of names and values. A
dotted name, or ``seed``, is a key of the config, set as an override sets it; any other
name is an argument of ``get_config``. **Arguments are what a sweep compares, keys are what it
tunes, and over seeds it repeats.**
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seqmodels.errors import ConfigError
from seqmodels.values import plain

Point = dict[str, Any]
Values = Mapping[str, Any]
"""Names, each with a tuple of the values that it takes in turn."""


class Staged(list[Point]):
    """Points that are run in stages (:func:`staged`)."""


class Between(NamedTuple):
    """Numbers with fractions to be searched in [low, high], in their logarithm; takes
    search=random or tpe, and a key that leaves the model's size alone.
    """

    low: float
    high: float


def product(*factors: Values | Iterable[Point]) -> list[Point]:
    """Each value with each, and each point of one factor with each of the others.

    >>> product({"mixer": ("rnn", "lstm")}, {"seed": (0, 1)})[1:3]
    [{'mixer': 'rnn', 'seed': 1}, {'mixer': 'lstm', 'seed': 0}]
    """
    lists: list[list[Point]] = []
    for factor in factors:
        if isinstance(factor, Mapping):
            values: Any = factor
            lists.extend([{name: v} for v in _values(values, name)] for name in values)
        else:
            lists.append(list(factor))
    return [_join(points) for points in itertools.product(*lists)]


def zipped(values: Values) -> list[Point]:
    """The first values together, then the second ones, and so on.

    >>> zipped({"length": (64, 128), "pairs": (4, 8)})
    [{'length': 64, 'pairs': 4}, {'length': 128, 'pairs': 8}]
    """
    counts = {name: len(_values(values, name)) for name in values}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise ConfigError(f"sweep(): zipped takes as many values of each name, and {shown}")
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def chain(*sweeps: Iterable[Point]) -> list[Point]:
    """The points of one after those of another.

    >>> chain(zipped({"length": (64,)}), product({"length": (128,), "seed": (0, 1)}))
    [{'length': 64}, {'length': 128, 'seed': 0}, {'length': 128, 'seed': 1}]
    """
    return list(itertools.chain(*sweeps))


def staged(points: Iterable[Point]) -> Staged:
    """The points in stages: of each choice of arguments all values of the one key that is tuned run
    with the first seed, then values beyond an end where the best lies, then the other seeds at the
    best alone.

    >>> staged(product({"optimizer.learning_rate": (1e-3, 3e-3, 1e-2), "seed": (0, 1, 2)}))[0]
    {'optimizer.learning_rate': 0.001, 'seed': 0}
    """
    return Staged(points)


def split(point: Point) -> tuple[dict[str, Any], dict[str, Any]]:
    """A point's arguments of ``get_config``, and the keys that it sets.

    >>> split({"mixer": "rnn", "seed": 1, "optimizer.learning_rate": 0.1})
    ({'mixer': 'rnn'}, {'seed': 1, 'optimizer.learning_rate': 0.1})
    """
    keys = {name: value for name, value in point.items() if "." in name or name == "seed"}
    return {name: value for name, value in point.items() if name not in keys}, keys


def require_points(points: Any, file: str) -> list[Point]:
    """Refuses what ``sweep()`` may not return."""
    if not isinstance(points, Sequence) or not points:
        raise ConfigError(f"{file}: sweep() returns {points!r}, not a list of at least one point")
    for point in points:
        if not isinstance(point, Mapping) or not all(isinstance(name, str) for name in point):
            raise ConfigError(f"{file}: sweep() has {point!r} among its points, which is no dict")
    return [
        {name: _value(value, name, f"{file}: sweep()") for name, value in point.items()}
        for point in points
    ]


def _value(value: Any, name: str, where: str) -> Any:
    """A value as JSON gives it back; a range stays one: it is a tuple of its own kind."""
    if not isinstance(value, Between):
        return plain(value, f"{where}: {name}")
    if "." not in name:
        raise ConfigError(
            f"{where}: {name}={value} is a range, which is for keys such as "
            "optimizer.learning_rate; list its values"
        )
    try:
        low, high = float(value.low), float(value.high)
    except (TypeError, ValueError, OverflowError):
        low = high = math.nan
    if not 0 < low < high < math.inf:
        raise ConfigError(f"{where}: {name}={value} is not 0 < low < high")
    return Between(low, high)


def _values(values: Values, name: str) -> Sequence[Any]:
    if isinstance(values[name], np.ndarray) and values[name].ndim:
        return values[name].tolist()
    if isinstance(values[name], str | Between) or not isinstance(values[name], Sequence):
        wanted = f"({values[name]!r},)"
        raise ConfigError(f"sweep(): {name}={values[name]!r} is not a tuple; write {wanted}")
    return values[name]


def _join(points: Sequence[Point]) -> Point:
    joined: Point = {}
    for point in points:
        twice = joined.keys() & point.keys()
        if twice:
            raise ConfigError(f"sweep(): product has {min(twice)!r} in two of its factors")
        joined |= point
    return joined
