"""Verdicts: numbers in, words out."""

import pytest

from experiments import rules
from experiments.rules import Line, Part

CLOSE, FAR, WIDE = (0.91, 0.92, 0.93), (0.5, 0.51, 0.52), (0.2, 0.6, 1.0)


@pytest.mark.parametrize(
    ("part", "holds"),
    [
        (rules.beats("", CLOSE, FAR), True),
        (rules.beats("", FAR, CLOSE), False),
        (rules.beats("", CLOSE, (0.88, 0.89, 0.9)), False),  # told apart, and only by 3 points
        (rules.beats("", CLOSE, WIDE), False),  # by 32 points, and not told apart
        (rules.beats("", CLOSE[:2], FAR), None),
        (rules.matches("", CLOSE, FAR), True),
        (rules.matches("", CLOSE, (0.93, 0.94, 0.95)), True),  # 2 points less, and no less than 5
        (rules.matches("", CLOSE, (0.97, 0.98, 0.99)), False),
        (rules.matches("", WIDE, FAR), False),  # it may be worse
        (rules.matches("", (), FAR), None),
        (rules.reaches("", CLOSE, 0.92), True),
        (rules.reaches("", CLOSE, 0.93), False),
        (rules.reaches("", (1.0, 1.0), 0.9), None),
        (rules.stays_below("", CLOSE, 0.92), True),
        (rules.stays_below("", CLOSE, 0.9), False),
        (rules.at_most("", 2.0, 2.0), True),
        (rules.at_most("", 2.1, 2.0), False),
        (rules.at_least("", 2.1, 2.0), True),
        (rules.at_least("", None, 2.0), None),
    ],
)
def test_a_part_holds_or_does_not(part, holds):
    assert part.holds is holds
    few = part.measured == rules.NO_RUN or part.measured.endswith(", of 3 seeds")
    assert few == (holds is None)


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (rules.reaches("", (), 0.9), rules.NO_RUN),
        (rules.reaches("", (0.5,), 0.9), "50.0 (1), of 3 seeds"),
        (rules.beats("", (0.9,), ()), "90.0 (1) and –, of 3 seeds"),
        (rules.accuracy("", 1.0, (0.8,)), "80.0 (1), of 3 seeds"),
        (rules.loss("", 3e-5, (1e-4, 2e-4), 0.02), "0.0001, 0.0002, of 3 seeds"),
        (rules.above("", "", (), (0.5,)), "– and 50.0 (1), of 3 seeds"),
    ],
)
def test_runs_too_few_for_a_verdict_are_shown(found, shown):
    """And what has some isn't said to have none."""
    judge = rules.verdict if isinstance(found, Part) else rules.landing
    assert (found.measured if isinstance(found, Part) else found.shown) == shown
    has_none = shown == rules.NO_RUN
    assert judge([found]) == (rules.NO_RUN if has_none else "unfinished: 1 of 1 lack runs")


@pytest.mark.parametrize(
    ("holds", "words"),
    [
        ((True, True), "*holds*"),
        ((True, False), "*holds when* a"),
        ((False, False), "*does not hold*"),
        ((None, None), "no run yet"),
        ((None, True), "unfinished: 1 of 2 lack runs"),
    ],
)
def test_the_verdict_on_a_claim_follows_from_its_parts(holds, words):
    shown = [rules.NO_RUN if each is None else "" for each in holds]
    parts = [Part(*each) for each in zip("ab", shown, holds, strict=True)]
    assert rules.verdict(parts) == words


@pytest.mark.parametrize(
    ("line", "lands", "failed"),
    [
        (rules.accuracy("", 0.99, (1.0, 1.0, 0.97)), True, "0 of 3"),
        (rules.accuracy("", 0.99, (1.0, 0.99, 0.9)), False, "1 of 3"),
        (rules.accuracy("", 0.99, (0.99, 0.5, 0.5), best=True), True, "2 of 3"),
        (rules.accuracy("", 0.52, (0.5, 0.6, 0.6), best=True), False, "2 of 3"),  # above it too
        (rules.accuracy("", 0.96, (0.93, 0.94, 0.94), spread=0.028), True, "1 of 3"),
        (rules.accuracy("", 1.0, (1.0, 1.0)), None, ""),
        (rules.loss("", 3e-5, (9e-5,), 0.02, seeds=1), True, "0 of 1"),
        (rules.loss("", 3e-3, (9.1e-3,), 0.02, seeds=1), False, "1 of 1"),
        (rules.loss("", 3e-3, (9e-4,), 0.02, seeds=1), False, "1 of 1"),
        (rules.loss("", 3e-5, (1e-9,), 0.02, seeds=1), True, "0 of 1"),  # below 2e-4 both
        (rules.loss("", 3e-5, (3e-4,), 0.02, seeds=1), False, "1 of 1"),
        (rules.above("", "", CLOSE, FAR), True, ""),
        (rules.above("", "", FAR, FAR), False, ""),
        (rules.above("", "", FAR, FAR, by=-rules.NEAR), True, ""),
        (rules.above("", "", CLOSE, FAR[:1]), None, ""),
    ],
)
def test_a_published_result_lands_or_does_not(line, lands, failed):
    assert (line.lands, line.failed) == (lands, failed)


def test_an_ordering_is_of_pairs_that_are_told_apart():
    published = {"a": 0.9, "b": 0.86, "c": 0.5}
    ours = {"a": CLOSE, "b": FAR, "c": WIDE}
    lines = {line.what: line.lands for line in rules.ordering(published, ours)}
    assert lines == {"a above c": True, "b above c": False}
    assert rules.landing(rules.ordering(published, ours)) == "*1 of 2 land*"
    assert rules.landing([Line("", "", (), "", True)]) == "*lands*"
    assert rules.landing(rules.ordering(published, {})) == rules.NO_RUN
    assert rules.landing(rules.ordering(published, {"a": CLOSE, "c": FAR})).startswith("unfinished")
