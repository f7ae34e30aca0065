"""How cost grows with length: exponents with intervals, crossings, and how far a limit reaches."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import nnls
from scipy.special import stdtrit
from scipy.stats import linregress

Points = Mapping[int, int | float]
"""Length to cost; all above 0."""
Range = tuple[int | float, int | float]
"""The lowest and the highest."""

WIDEST = 0.5
"""Of the 95% interval of an exponent that is stated: a wider one doesn't tell L from L^1.5."""


def is_carried(low: float | int, high: float | int) -> bool:
    """Whether the data tell an exponent with such an interval.

    >>> is_carried(0.9, 1.1), is_carried(-0.2, 2.8)
    (True, False)
    """
    return high - low <= WIDEST


class PowerLaw(NamedTuple):
    """``cost = coefficient * L ** exponent``, with the exponent's 95% interval."""

    exponent: float
    low: float
    high: float
    coefficient: float
    lengths: int
    """How many lengths it was fitted to."""
    span: float
    """The ratio of the longest of them to the shortest."""

    def __call__(self, length: int | float) -> float:
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
    line: Any = linregress(x, y)
    error = line.stderr if np.ptp(y) > 0 else 0.0  # of equal costs it isn't known there
    margin = float(stdtrit(n - 2, 0.975) * error)
    slope = round(float(line.slope), 12)  # of a perfect law the exponent, and not 0.9999999999
    coefficient = math.exp(line.intercept)
    span = used[-1][0] / used[0][0]
    return PowerLaw(slope, slope - margin, slope + margin, coefficient, n, span)


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
    found, _ = nnls(columns, np.ones(len(used)))
    linear, quadratic = found / np.array([scale, scale**2])
    return TwoParts(round(float(linear), 15), float(quadratic))


def crossings(first: Points, second: Points) -> list[float]:
    """All lengths at which the one that costs less changes, in order.

    Between two lengths costs are straight lines of the logarithms. A length at which both cost the
    same is none of either's.

    >>> [round(x) for x in crossings({100: 1, 400: 2, 900: 9}, {100: 2, 400: 1, 900: 10})]
    [200, 809]
    """
    gaps = {
        length: math.log(first[length] / second[length])
        for length in sorted(first.keys() & second.keys())
        if first[length] != second[length]
    }
    found = []
    for a, b in itertools.pairwise(gaps):
        if gaps[a] * gaps[b] < 0:
            share = gaps[a] / (gaps[a] - gaps[b])
            found.append(math.exp((1 - share) * math.log(a) + share * math.log(b)))
    return found


def separate(first: Range, second: Range) -> bool:
    """Whether two ranges (low, high) have nothing in common.

    >>> separate((1.0, 2.0), (2.5, 3.0)), separate((1.0, 2.0), (1.5, 3.0))
    (True, False)
    """
    return first[1] < second[0] or second[1] < first[0]


class Reach(NamedTuple):
    """How far a limit reaches."""

    length: int
    """The greatest length whose cost is within the limit; 0 where that of none is."""
    extrapolated: bool
    """Whether it lies beyond all that was measured."""
    at_least: bool
    """Whether no more is known than that the limit reaches further than that."""


def longest_within(points: Points, limit: int | float, law: PowerLaw | None) -> Reach:
    """The greatest length whose cost is within a limit.

    Between points by straight lines of the logarithms; beyond the last by the power law, moved to
    go through that point, but no farther than by the span of the lengths that it was fitted to. If
    the last is within and there is no law, at least the last. Where costs fall again below the
    limit, the length after which none does so.

    >>> longest_within({1000: 1.0, 2000: 2.0, 4000: 4.0}, 3.0, None)
    Reach(length=3000, extrapolated=False, at_least=False)
    >>> longest_within({1000: 5.0, 2000: 2.0, 4000: 4.0}, 3.0, None).length
    3000
    >>> longest_within({1000: 1.0, 2000: 2.0}, 3.0, None)
    Reach(length=2000, extrapolated=False, at_least=True)
    """
    lengths: Sequence[int] = sorted(points)
    within = [index for index, length in enumerate(lengths) if points[length] <= limit]
    if not within:
        return Reach(0, extrapolated=False, at_least=False)
    a = lengths[within[-1]]
    if a != lengths[-1]:
        b = lengths[within[-1] + 1]
        slope = math.log(points[b] / points[a]) / math.log(b / a)
        found = math.floor(a * (limit / points[a]) ** (1 / slope) + 1e-6)
        return Reach(found, extrapolated=False, at_least=False)
    if law is None:
        return Reach(a, extrapolated=False, at_least=True)
    farthest = a * law.span
    # By logarithms: of an exponent near 0 the length itself may be too large for a float.
    growth = math.log(limit / points[a])
    if law.exponent <= 0 or growth > law.exponent * math.log(law.span):
        return Reach(math.floor(farthest), extrapolated=True, at_least=True)
    found = math.floor(a * math.exp(growth / law.exponent) + 1e-6)
    return Reach(found, extrapolated=True, at_least=False)
