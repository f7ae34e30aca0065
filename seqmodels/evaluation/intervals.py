"""Means of scores over examples, and how sure they are."""

from typing import NamedTuple

import numpy as np

from seqmodels.arrays import Float
from seqmodels.tasks.base import SHARES

Z = 1.959964
"""Standard deviations on either side that hold 95% of a normal distribution."""


class Score(NamedTuple):
    """A mean over so many examples, and the ends of its 95% interval."""

    mean: float
    low: float
    high: float
    examples: int


def score(
    metric: str, sums: Float[np.ndarray, "n"], counts: Float[np.ndarray, "n"]
) -> Score | None:
    """The mean of a metric from each example's sum and count; None where nothing counts.

    Examples are independent, the several answers of one are not: the variance of the
    ratio r = sum(s) / sum(c) is that of the residuals s - r c of whole examples (Cochran 1977,
    section 6.3). The interval of a share is Wilson's (1927), which also is one at 0 and at 1, for
    as many independent answers as have that variance; that of another metric is normal.

    >>> found = score("accuracy", np.array([1.0, 1.0, 1.0, 0.0]), np.ones(4))
    >>> found.mean, round(found.low, 2), round(found.high, 2), found.examples
    (0.75, 0.26, 0.96, 4)
    """
    used = counts > 0
    sums, counts = sums[used].astype(np.float64), counts[used].astype(np.float64)
    n = len(sums)
    if n == 0:
        return None
    mean = sums.sum() / counts.sum()
    residuals = sums - mean * counts
    variance = n / max(n - 1, 1) * (residuals**2).sum() / counts.sum() ** 2
    if metric not in SHARES:
        margin = Z * variance**0.5 if n > 1 else float("inf")
        return Score(float(mean), float(mean - margin), float(mean + margin), n)
    independent = mean * (1 - mean) / variance if variance > 0 else n
    independent = min(max(independent, 1.0), counts.sum())
    spread = 1 + Z**2 / independent
    centre = (mean + Z**2 / (2 * independent)) / spread
    margin = Z / spread * (mean * (1 - mean) / independent + (Z / independent) ** 2 / 4) ** 0.5
    low, high = max(0.0, centre - margin), min(1.0, centre + margin)
    return Score(float(mean), float(low), float(high), n)
