"""Means over seeds and differences between mixers, with 95% intervals: what the seeds carry."""

import json
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtrit

from seqmodels.report.figure import Mark
from seqmodels.report.reading import StoredRun
from seqmodels.report.table import Link
from seqmodels.report.values import Number, number
from seqmodels.tasks.base import SHARES

BOOTSTRAP_FROM = 10
"""Seeds from which on a distribution is known by them, and none is assumed."""
RESAMPLES = 10_000


class Interval(NamedTuple):
    """A mean over n seeds and the ends of its 95% interval, which a single seed doesn't have."""

    mean: Number
    low: Number | None
    high: Number | None
    n: int

    @property
    def margin(self) -> Number | None:
        """Half of its width."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def leaves_out_zero(self) -> bool:
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


Limits = tuple[Number | None, Number | None]
"""The least and the greatest that a score can be; None where it has no end."""


def limits_of(score: str) -> Limits:
    """Those of a score: errors, losses and bits are at least 0."""
    return (0, 1) if score in SHARES else (0, None)


def interval(values: Sequence[Number], within: Limits = (None, None)) -> Interval | None:
    """The mean of some seeds' values and its 95% interval, cut to what the value can be.

    ``mean ± t * s / sqrt(n)``, with Student's t at n - 1 degrees of freedom and the sample's
    deviation s; from BOOTSTRAP_FROM seeds on the middle 95% of the means of RESAMPLES samples drawn
    from the seeds (the percentile bootstrap of Efron and Tibshirani 1993, chapter 13), always the
    same ones. None of no value.

    >>> found = interval([0.9, 1.0, 0.95], (0, 1))
    >>> round(found.low, 3), found.high, interval([0.5])
    (0.826, 1, Interval(mean=0.5, low=None, high=None, n=1))
    """
    n = len(values)
    if n == 0:
        return None
    mean = statistics.fmean(values)
    if n == 1:
        return Interval(mean, None, None, 1)
    if n < BOOTSTRAP_FROM:
        margin = float(stdtrit(n - 1, 0.975)) * statistics.stdev(values) / n**0.5
        low, high = mean - margin, mean + margin
    else:
        drawn = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
        means = np.asarray(values, np.float64)[drawn].mean(axis=1)
        low, high = (float(end) for end in np.quantile(means, (0.025, 0.975)))
    least, most = within
    low = low if least is None else max(low, least)
    return Interval(mean, low, high if most is None else min(high, most), n)


def seeds_mark(
    x: Number,
    values: Sequence[Number],
    within: Limits,
    note: str = "",
    runs: tuple[Link, ...] = (),
) -> Mark | None:
    """The mean at x with its interval and each seed's value; None of no value."""
    found = interval(values, within)
    if found is None:
        return None
    seeds = tuple(values) if found.n > 1 else ()
    told = f"{found.n} seed{'s' * (found.n != 1)}"
    note = ", ".join(filter(None, [note, told]))
    return Mark(x, found.mean, found.low, found.high, note, runs, seeds)


def difference(
    first: Sequence[StoredRun], second: Sequence[StoredRun], score: str
) -> Interval | None:
    """By how much the first runs score more on test, seed by seed, with its interval.

    Runs are a pair where both have one seed and drew the same data; None of fewer than two pairs.
    """
    a, b = _by_pair(first, score), _by_pair(second, score)
    paired = [a[key] - b[key] for key in a if key in b]
    return interval(paired) if len(paired) > 1 else None


def _by_pair(runs: Sequence[StoredRun], score: str) -> dict[Any, Number]:
    """The test scores by seed and data."""
    found = {}
    for run in runs:
        value = number((run.results or {"test": {}})["test"].get(score))
        if value is not None:
            found[run.seed, json.dumps(run.facts.get("batches"), sort_keys=True)] = value
    return found
