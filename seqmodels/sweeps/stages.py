"""A sweep in stages: each group's best setting is found with one seed, repeated with the others.

First all values of the tuned key run, with the first seed. Where the best lies at an end, so that a
better one may lie beyond it, the next value there follows, until the best lies inside. Then the
other seeds run at the best alone. What is due follows from what has ended, so that nothing has to
be remembered.
"""

from collections.abc import Callable, Sequence

from seqmodels.sweeps.groups import Group, Run
from seqmodels.sweeps.trials import ENDED, State

BEYOND = 3
"""So many values at most are tried beyond an end."""

Number = int | float
Outcome = tuple[State, float | None]
"""A run's state, and its score on validation where it has finished."""


def due(group: Group, outcome: Callable[[Run], Outcome], higher_is_better: bool) -> list[Run]:
    """The runs of a group that there are by now, in the order in which they are begun.

    A run that diverged, failed or was pruned counts as worse than any other.

    Args:
      group: its settings in the order of their values, and those beyond its ends.
      outcome: how a run stands.
      higher_is_better: of the score.
    """
    rungs, below, above = list(group.settings), list(group.below), list(group.above)
    while True:
        runs = [group.runs(rung)[0] for rung in rungs]
        outcomes = [outcome(run) for run in runs]
        if any(state not in ENDED for state, _ in outcomes):
            return runs
        best = best_place([score for _, score in outcomes], higher_is_better)
        if best is None:
            return runs
        if best == 0 and below:
            rungs.insert(0, below.pop(0))
        elif best == len(rungs) - 1 and above:
            rungs.append(above.pop(0))
        else:
            return runs + group.runs(rungs[best])[1:]


def best_place(scores: Sequence[float | None], higher_is_better: bool) -> int | None:
    """The place of the best score; of several alike that nearest to the middle, since what is no
    better at an end is no reason to look beyond it. None where there is no score.

    >>> best_place([0.5, 0.9, 0.9, None], higher_is_better=True)
    1
    """
    known = [score for score in scores if score is not None]
    if not known:
        return None
    best = max(known) if higher_is_better else min(known)
    alike = [place for place, score in enumerate(scores) if score == best]
    return min(alike, key=lambda place: abs(2 * place - len(scores) + 1))


def values_beyond(values: Sequence[Number]) -> tuple[list[Number], list[Number]]:
    """The next values below and above ascending ones, nearest first, by the factor at that end.

    Whole numbers go on as whole ones, as far as there are any; below 0 and from 0 on there is no
    factor.

    >>> values_beyond([0.001, 0.003, 0.01])
    ([0.000333, 0.000111, 3.7e-05], [0.0333, 0.111, 0.37])
    >>> values_beyond([2, 4, 8])
    ([1], [16, 32, 64])
    """
    if len(values) < 2:
        return [], []
    return _steps(values[1], values[0], values), _steps(values[-2], values[-1], values)


def _steps(inner: Number, end: Number, values: Sequence[Number]) -> list[Number]:
    """The values that follow an end, whose neighbour is given."""
    found: list[Number] = []
    is_whole = all(isinstance(value, int) for value in values)
    while inner > 0 and end > 0 and len(found) < BEYOND:
        value = end * (end / inner) ** (len(found) + 1)
        value = float(f"{value:.3g}")  # as somebody would write it
        is_next = (value > end) if end > inner else (0 < value < end)
        if not is_next or value in found or (is_whole and value != int(value)):
            break
        found.append(int(value) if is_whole else value)
    return found
