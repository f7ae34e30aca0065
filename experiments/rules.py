"""The rules by which committed runs become verdicts: the same for every experiment.

A claim is cut into parts, each of which holds in some circumstances or doesn't; a paper's result
into lines, each of which lands or doesn't. What is too few runs is no verdict.
"""

import statistics
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from scipy.special import stdtrit

from experiments.cells import percent

SEEDS = 3
"""Runs that a verdict takes."""
GAP = 0.05
"""Five points: what is told apart, and what counts as alike."""
NEAR = 0.02
"""Two points: how far a published accuracy may lie from ours."""
FACTOR = 3
"""By how much a published loss may."""
HUNDREDTH = 0.01
"""Of chance: two losses below it are both as good as none."""
NO_RUN = "no run yet"

Scores = Sequence[float]
"""A score of each seed."""


class Part(NamedTuple):
    """What a claim says in some circumstances, and whether it does."""

    when: str
    """They, as what follows "holds when"."""
    measured: str
    """The numbers that tell."""
    holds: bool | None
    """None where there are too few runs."""


class Line(NamedTuple):
    """A published result beside ours."""

    what: str
    published: str
    ours: Scores
    shown: str
    """Ours in words."""
    lands: bool | None
    """None where there are too few runs."""
    failed: str = ""
    """How many of the seeds don't land by themselves."""


def verdict(parts: Sequence[Part]) -> str:
    """*holds* where every part does, *does not hold* where none does, else when it does.

    >>> verdict([Part("short", "", True), Part("long", "", False)])
    '*holds when* short'
    """
    missing = [part for part in parts if part.holds is None]
    if missing:
        return _unfinished(len(missing), [part.measured for part in parts])
    holding = [part.when for part in parts if part.holds]
    if len(holding) == len(parts):
        return "*holds*"
    return f"*holds when* {'; '.join(holding)}" if holding else "*does not hold*"


def landing(lines: Sequence[Line]) -> str:
    """*lands* where every line does; else how many of them.

    >>> landing([Line("a", "1", [1], "1", True), Line("b", "1", [0], "0", False)])
    '*1 of 2 land*'
    """
    missing = [line for line in lines if line.lands is None]
    if missing:
        return _unfinished(len(missing), [line.shown for line in lines])
    count = sum(line.lands is True for line in lines)
    return "*lands*" if count == len(lines) else f"*{count} of {len(lines)} land*"


def _unfinished(missing: int, shown: Sequence[str]) -> str:
    if set(shown) == {NO_RUN}:
        return NO_RUN
    return f"unfinished: {missing} of {len(shown)} lack runs"


def _too_few(seeds: int, *scores: Scores) -> str:
    """What is said in place of a verdict: the runs that there are.

    >>> _too_few(3, [0.8], []), _too_few(3, [], [])
    ('80.0 (1) and –, of 3 seeds', 'no run yet')
    """
    if not any(scores):
        return NO_RUN
    return f"{' and '.join(map(percent, scores))}, of {seeds} seeds"


def beats(when: str, better: Scores, worse: Scores, by: float = GAP) -> Part:
    """Holds where the mean is higher by 5 points at least, and the interval of the difference,
    Welch's t at 95%, lies above 0."""
    if min(len(better), len(worse)) < SEEDS:
        return Part(when, _too_few(SEEDS, better, worse), None)
    mean, half = difference(better, worse)
    shown = f"{percent(better)} against {percent(worse)}: {_signed(mean, half)}"
    return Part(when, shown, mean >= by and mean - half > 0)


def matches(when: str, one: Scores, other: Scores, within: float = GAP) -> Part:
    """Holds where the interval of the difference lies above -5 points: no worse than so much."""
    if min(len(one), len(other)) < SEEDS:
        return Part(when, _too_few(SEEDS, one, other), None)
    mean, half = difference(one, other)
    shown = f"{percent(one)} against {percent(other)}: {_signed(mean, half)}"
    return Part(when, shown, mean - half > -within)


def reaches(when: str, scores: Scores, least: float) -> Part:
    """Holds where the mean is at least so much."""
    if len(scores) < SEEDS:
        return Part(when, _too_few(SEEDS, scores), None)
    shown = f"{percent(scores)}, at least {100 * least:g}"
    return Part(when, shown, statistics.fmean(scores) >= least)


def stays_below(when: str, scores: Scores, most: float) -> Part:
    """Holds where the mean is at most so much."""
    if len(scores) < SEEDS:
        return Part(when, _too_few(SEEDS, scores), None)
    shown = f"{percent(scores)}, at most {100 * most:g}"
    return Part(when, shown, statistics.fmean(scores) <= most)


def at_most(when: str, value: float | None, most: float, unit: str = "") -> Part:
    """Holds where a measured cost, or error, is at most so much."""
    if value is None:
        return Part(when, NO_RUN, None)
    return Part(when, f"{value:.3g}{unit}, at most {most:g}{unit}", value <= most)


def at_least(when: str, value: float | None, least: float, unit: str = "") -> Part:
    """Holds where a measured cost, or error, is at least so much."""
    if value is None:
        return Part(when, NO_RUN, None)
    return Part(when, f"{value:.3g}{unit}, at least {least:g}{unit}", value >= least)


def accuracy(
    what: str,
    published: float,
    ours: Scores,
    spread: float = 0.0,
    best: bool = False,
    seeds: int = SEEDS,
) -> Line:
    """Lands within 2 points of what is published, or within its spread; best of ours against best
    of theirs where the paper gives the best."""
    near = max(NEAR, spread)
    said = f"{100 * published:.1f}" + (f" ± {100 * spread:.1f}" if spread else "")
    said += " (best)" if best else ""
    if len(ours) < seeds:
        return Line(what, said, ours, _too_few(seeds, ours), None)
    # To a tenth of a point: what is printed alike is alike.
    lands = round(abs((max if best else statistics.fmean)(ours) - published), 4) <= near
    failed = sum(round(abs(score - published), 4) > near for score in ours)
    return Line(what, said, ours, _each(ours), lands, f"{failed} of {len(ours)}")


def loss(
    what: str, published: float, ours: Scores, chance: float, seeds: int = SEEDS, best: bool = False
) -> Line:
    """Lands within a factor of 3 of what is published, or where both are below a hundredth of
    chance."""
    shown = ", ".join(f"{value:.3g}" for value in ours)
    if len(ours) < seeds:
        few = f"{shown}, of {seeds} seeds" if ours else NO_RUN
        return Line(what, f"{published:.3g}", ours, few, None)

    def near(value: float) -> bool:
        if max(value, published) <= HUNDREDTH * chance:
            return True
        return published / FACTOR <= value <= published * FACTOR

    failed = sum(not near(value) for value in ours)
    lands = near(min(ours) if best else statistics.fmean(ours))
    return Line(what, f"{published:.3g}", ours, shown, lands, f"{failed} of {len(ours)}")


def ordering(
    published: Mapping[str, float], ours: Mapping[str, Scores], seeds: int = SEEDS
) -> list[Line]:
    """A line for each pair that is published with a gap above 5 points: it lands where our means
    have the same order."""
    lines = []
    for pair in combinations(published, 2):
        high, low = sorted(pair, key=lambda name: -published[name])
        if round(published[high] - published[low], 4) <= GAP:
            continue
        what = f"{high} above {low}"
        said = f"{100 * published[high]:.1f} and {100 * published[low]:.1f}"
        lines.append(above(what, said, ours.get(high, ()), ours.get(low, ()), seeds))
    return lines


def above(
    what: str, published: str, high: Scores, low: Scores, seeds: int = SEEDS, by: float = 0.0
) -> Line:
    """Lands where the mean of one is above that of the other, by more than so much; -2 points is no
    worse."""
    if min(len(high), len(low)) < seeds:
        return Line(what, published, (), _too_few(seeds, high, low), None)
    mean = statistics.fmean(high) - statistics.fmean(low)
    shown = f"{percent(high)} and {percent(low)}"
    if min(len(high), len(low)) > 1:
        _, half = difference(high, low)
        shown += f": {_signed(mean, half)}"
    return Line(what, published, high, shown, mean > by)


def difference(first: Scores, second: Scores) -> tuple[float, float]:
    """Of two means, and half of its 95% interval, by Welch's t.

    >>> mean, half = difference([0.9, 1.0, 0.95], [0.5, 0.5, 0.5])
    >>> round(mean, 3), round(half, 3)
    (0.45, 0.124)
    """
    mean = statistics.fmean(first) - statistics.fmean(second)
    parts = [statistics.variance(values) / len(values) for values in (first, second)]
    if sum(parts) == 0:
        return mean, 0.0
    shares = (part**2 / (len(of) - 1) for part, of in zip(parts, (first, second), strict=True))
    freedom = sum(parts) ** 2 / sum(shares)
    return mean, float(stdtrit(freedom, 0.975)) * sum(parts) ** 0.5


def _each(scores: Scores) -> str:
    """Every seed's, and the mean."""
    return f"{', '.join(f'{100 * score:.1f}' for score in scores)}: {percent(scores)}"


def _signed(mean: float, half: float) -> str:
    return f"{100 * mean:+.1f} ± {100 * half:.1f}"
