"""How cost grows with length: exponents with intervals, crossings, and how far a limit reaches."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

Points = Mapping[int, int | float]
"""Length to cost; all above 0."""
Range = tuple[int | float, int | float]
"""The lowest and the highest."""

# Student's t that holds 95% on both sides, by degrees of freedom from 1 (Fisher and Yates).
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160)


class PowerLaw(NamedTuple):
    """``cost = coefficient * L ** exponent``, with the exponent's 95% interval."""

    exponent: float
    low: float
    high: float
    coefficient: float
    lengths: int
    """How many lengths it was fitted to."""

    def __call__(self, length: int | float) -> float:
        """The cost at a length."""
        return self.coefficient * length**self.exponent


def fit_power_law(points: Points, from_length: int) -> PowerLaw | None:
    """Least squares on the logarithms, at ``from_length`` and above; None below 3 lengths.

    ``log cost = log c + a log L + e``: the interval is Student's for the slope, from the
    residuals e with n - 2 degrees of freedom. A bend that all points share widens it too.

    >>> fit_power_law({2048: 4.0, 4096: 8.0, 8192: 16.0}, 2048).exponent
    1.0
    """
    used = sorted((length, cost) for length, cost in points.items() if length >= from_length)
    n = len(used)
    if n < 3:
        return None
    x, y = np.log(np.array(used, np.float64)).T
    spread = ((x - x.mean()) ** 2).sum()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / spread
    residuals = y - y.mean() - slope * (x - x.mean())
    error = math.sqrt((residuals**2).sum() / (n - 2) / spread)
    margin = T95[min(n - 2, len(T95)) - 1] * error
    coefficient = math.exp(y.mean() - slope * x.mean())
    slope = round(float(slope), 12)  # of a perfect power law the exponent, and not 0.9999999999
    return PowerLaw(slope, slope - margin, slope + margin, coefficient, n)


class TwoParts(NamedTuple):
    """``cost = linear * L + quadratic * L ** 2``, both at least 0."""

    linear: float
    quadratic: float

    def exponent(self, length: int | float) -> float:
        """The local exponent d log cost / d log L: 1 where the first part rules, 2 the second."""
        one, two = self.linear * length, self.quadratic * length**2
        return (one + 2 * two) / (one + two)


def fit_two_parts(points: Points, from_length: int) -> TwoParts | None:
    """Least squares of the relative errors, ``sum (1 - (a L + b L^2) / cost)^2``.

    >>> fit_two_parts({1000: 3.0, 2000: 8.0, 4000: 24.0}, 1000).exponent(1000)
    1.3333333333333333
    """
    used = sorted((length, cost) for length, cost in points.items() if length >= from_length)
    if len(used) < 3:
        return None
    lengths, costs = np.array(used, np.float64).T
    scale = lengths.max()
    columns = np.stack([lengths / scale / costs, (lengths / scale) ** 2 / costs], axis=1)
    ones = np.ones(len(used))
    found = np.linalg.lstsq(columns, ones, rcond=None)[0]
    if found.min() < 0:  # the best with both at least 0 has one of them alone
        alone = [column @ ones / (column @ column) for column in columns.T]
        errors = [((ones - a * c) ** 2).sum() for a, c in zip(alone, columns.T, strict=True)]
        found = np.where(np.arange(2) == np.argmin(errors), alone, 0.0)
    linear, quadratic = found / np.array([scale, scale**2])
    return TwoParts(round(float(linear), 15), float(quadratic))


def crossover(first: Points, second: Points) -> float | None:
    """The length from which one costs more that cost less at the shortest length of both.

    Between two lengths costs are straight lines of the logarithms. Where they cross several
    times, the last crossing; None where they don't, or are cheapest in the same order at both ends.
    """
    lengths = sorted(first.keys() & second.keys())
    gaps = [math.log(first[length] / second[length]) for length in lengths]
    if len(lengths) < 2 or gaps[0] * gaps[-1] >= 0:
        return None
    pairs = list(itertools.pairwise(range(len(lengths))))
    a, b = next((a, b) for a, b in reversed(pairs) if gaps[a] * gaps[-1] <= 0)
    share = gaps[a] / (gaps[a] - gaps[b])
    return math.exp((1 - share) * math.log(lengths[a]) + share * math.log(lengths[b]))


def separate(first: Range, second: Range) -> bool:
    """Whether two ranges (low, high) have nothing in common.

    >>> separate((1.0, 2.0), (2.5, 3.0)), separate((1.0, 2.0), (1.5, 3.0))
    (True, False)
    """
    return first[1] < second[0] or second[1] < first[0]


def longest_within(
    points: Points, limit: int | float, law: PowerLaw | None
) -> tuple[int, bool] | None:
    """The greatest length whose cost is within a limit, and whether it lies beyond all points.

    Between points by straight lines of the logarithms; beyond the last by the power law, moved to
    go through that point. None if the last is within and there is no law; 0 if the first is not.

    >>> longest_within({1000: 1.0, 2000: 2.0, 4000: 4.0}, 3.0, None)
    (3000, False)
    """
    lengths: Sequence[int] = sorted(points)
    if not lengths or points[lengths[0]] > limit:
        return 0, False
    for a, b in itertools.pairwise(lengths):
        if points[b] > limit:
            slope = math.log(points[b] / points[a]) / math.log(b / a)
            return math.floor(a * (limit / points[a]) ** (1 / slope) + 1e-6), False
    last = lengths[-1]
    if law is None or law.exponent <= 0:
        return None
    return math.floor(last * (limit / points[last]) ** (1 / law.exponent)), True
