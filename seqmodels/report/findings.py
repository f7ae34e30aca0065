"""What the numbers say, in sentences: of each no more than its seeds carry."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from seqmodels.report.alike import words
from seqmodels.report.comparison import Comparison, Contender
from seqmodels.report.intervals import Interval, difference, interval, limits_of
from seqmodels.report.values import Kind, Number, number, shown
from seqmodels.tasks.base import SHARES


class Strong(NamedTuple):
    """Words that carry a sentence; a mixer's are shown in its colour."""

    text: str
    mixer: str = ""


Part = str | Strong


class Finding(NamedTuple):
    """A sentence, the name of the figure that shows it, and its place among others."""

    parts: tuple[Part, ...]
    figure: str
    kind: Literal["seeds", "best", "compared", "cost", "caution"]
    weight: float | int = 0
    """Of one kind the heaviest stand first."""

    @property
    def text(self) -> str:
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)


ORDER = ("seeds", "best", "compared", "cost", "caution")
"""Of the kinds: what holds of all findings, the answers, how sure they are, what they cost."""


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda one: (ORDER.index(one.kind), -one.weight))


def scored(value: Number, score: str) -> str:
    """A score as it stands in a sentence.

    >>> scored(0.98321, "accuracy"), scored(1.5234, "bits_per_byte")
    ('98.3%', '1.523')
    """
    return f"{100 * value:.1f}%" if score in SHARES else shown(float(value), "number")


def spread(found: Interval, score: str) -> str:
    """How sure a mean is: ``98.2% to 100.0%, n=3``."""
    if found.low is None or found.high is None:
        return "one seed"
    if found.low == found.high:
        return f"each of {found.n} seeds"
    low, high = scored(found.low, score), scored(found.high, score)
    return f"{low.removesuffix('%')} to {high}, n={found.n}"


_PRICES: tuple[tuple[str, Kind, str], ...] = (
    ("step_seconds", "seconds", "a training step takes {}"),
    ("seconds", "seconds", "a run takes {}"),
    ("state_bytes", "bytes", "its state takes {}"),
    ("parameters", "count", "it has {} parameters"),
)


def price(group: Contender) -> str:
    """One price of a contender: the first that is known."""
    known = group.costs.values | {"seconds": group.seconds, "parameters": group.parameters}
    for name, kind, told in _PRICES:
        if (value := known.get(name)) is not None:
            return told.format(shown(value, kind, -1))
    return ""


def place(group: Contender) -> str:
    """``recall at length 128, pairs 4``: the task, the length and what else is held the same."""
    rest = words(group.point, [n for n in group.point if n not in ("task", "length")])
    at = f" at length {group.length:,}" if group.length else ""
    return f"{group.task}{at}{', ' + rest if rest else ''}"


def best_first(comparison: Comparison, groups: Sequence[Contender]) -> list[Contender]:
    """Those with a test score, by validation; of equal ones that first whose step takes least."""

    def rank(group: Contender) -> tuple[float | int, float | int]:
        by = group.validation.mean if group.validation.mean is not None else group.test.mean
        return -comparison.sign * (by or 0), group.costs.values.get("step_seconds", 0)

    return sorted((g for g in groups if g.test.mean is not None), key=rank)


def findings(comparison: Comparison, figures: dict[str, str]) -> list[Finding]:
    """What a comparison found.

    Args:
      figures: by the text of a setting the name of the figure that shows it.
    """
    made = _of_one_seed(comparison)
    constant = constant_states(comparison)
    for setting, groups in comparison.settings():
        ranked = best_first(comparison, groups)
        if ranked:
            figure = figures.get(setting.text, "")
            made.append(_best(comparison, ranked, figure, constant))
            made += _compared(comparison, ranked, figure)
            made += _at_chance(comparison, ranked, figure)
    return made


def _of_one_seed(comparison: Comparison) -> list[Finding]:
    """What holds of all findings where some have no interval."""
    counts = [len(group.test.values) for group in comparison.groups if group.test.values]
    if not counts or min(counts) > 1:
        return []
    which = "Each score is" if max(counts) == 1 else "A score without an interval is"
    told = f"{which} of one seed: a difference may be chance. Two seeds or more have an interval."
    return [Finding((told,), "", "seeds")]


def constant_states(comparison: Comparison) -> set[str]:
    """The labels whose state is as large at one length as at another."""
    sizes: dict[tuple[str, str], dict[int, Number]] = {}
    for group in comparison.groups:
        state = group.costs.values.get("state_bytes")
        if state is not None and group.length:
            sizes.setdefault((group.label, group.setting.line), {})[group.length] = state
    told = {key: set(by_length.values()) for key, by_length in sizes.items() if len(by_length) > 1}
    growing = {label for (label, _), states in told.items() if len(states) > 1}
    return {label for label, _ in told} - growing


def _best(
    comparison: Comparison, ranked: list[Contender], figure: str, constant: set[str]
) -> Finding:
    """Who validates best, its test score and a price; and the best whose state doesn't grow."""
    first, score = ranked[0], comparison.score
    found = mean_of(comparison, first)
    parts: list[Part] = ["On ", Strong(place(first)), ", "]
    parts += [Strong(first.label, first.label), " reaches "]
    parts.append(Strong(f"{scored(found.mean, score)} {comparison.what}"))
    cost = price(first)
    parts.append(f" ({spread(found, score)}){'; ' + cost if cost else ''}.")
    small = next((group for group in ranked if group.label in constant), None)
    if small is not None and first.label not in constant:
        other = mean_of(comparison, small)
        state = shown(small.costs.values.get("state_bytes"), "bytes", -1)
        parts += [" The best of constant state, ", Strong(small.label, small.label), ", reaches "]
        parts.append(f"{scored(other.mean, score)} ({spread(other, score)}) with {state} of state.")
    return Finding(tuple(parts), figure, "best", _apart(ranked))


def _apart(ranked: list[Contender]) -> float:
    """How far a setting tells its mixers apart, 0 to 1 where no score is below 0; of settings
    that do so alike that of the longest sequences most."""
    means = [group.test.mean for group in ranked if group.test.mean is not None]
    apart = (max(means) - min(means)) / (max(map(abs, means)) or 1)
    return round(apart, 1) + (ranked[0].length or 0) * 1e-9


def _compared(comparison: Comparison, ranked: list[Contender], figure: str) -> list[Finding]:
    """How far the best is ahead of the next one, seed by seed."""
    if len(ranked) < 2:
        return []
    first, second = ranked[:2]
    found = difference(first.runs, second.runs, comparison.score)
    if found is None or found.margin is None:
        return []
    sign = comparison.sign
    one, other = Strong(first.label, first.label), Strong(second.label, second.label)
    by = f"{_points(abs(found.mean), comparison)} ± {_points(found.margin, comparison)}"
    by += " points" if comparison.score in SHARES else f" {comparison.what}"
    where = f"On {place(first)}, "
    seeds = f"seed by seed (n={found.n})."
    if not found.leaves_out_zero:
        parts = (where, one, " and ", other, f" are not told apart: {by} between them, {seeds}")
        return [Finding(parts, figure, "compared", _apart(ranked) - 2)]
    if found.mean * sign < 0:  # chosen on validation, and behind on test
        one, other = other, one
    return [Finding((where, one, " beats ", other, f" by {by}, {seeds}"), figure, "compared")]


def _points(value: Number, comparison: Comparison) -> str:
    if comparison.score in SHARES:
        return f"{100 * value:.1f}"
    return f"{value:.3g}"


def _at_chance(comparison: Comparison, ranked: list[Contender], figure: str) -> list[Finding]:
    """Those whose interval holds what guessing scores, and ends nearer to it than to the best."""
    level, best = chance_of(ranked), ranked[0].test.mean
    if level is None or best is None:
        return []
    lost = []
    for group in ranked:
        found = mean_of(comparison, group)
        ends = (found.low, found.high)
        if found.low is None or found.high is None or not found.low <= level <= found.high:
            continue
        if max(abs(end - level) for end in ends if end is not None) < abs(best - level) / 2:
            lost.append(group.label)
    if not lost:
        return []
    names: list[Part] = []
    for label in lost:
        names += [", " if names else "", Strong(label, label)]
    told = f" do no better than chance: {scored(level, comparison.score)} lies in each interval."
    if len(lost) == 1:
        told = (
            f" does no better than chance: {scored(level, comparison.score)} lies in its interval."
        )
    where = f"On {place(ranked[0])}, "
    return [Finding((where, *names, told), figure, "compared", _apart(ranked) - 4)]


def chance_of(groups: Sequence[Contender]) -> Number | None:
    """What guessing scores, where all runs say the same."""
    found = {number((run.results or {}).get("chance")) for group in groups for run in group.runs}
    return found.pop() if len(found) == 1 else None


def mean_of(comparison: Comparison, group: Contender) -> Interval:
    """The test score of a group that has one."""
    found = interval(group.test.values, limits_of(comparison.score))
    if found is None:
        assert group.test.mean is not None
        return Interval(group.test.mean, None, None, group.seeds)
    return found
