"""Which runs are stopped early: those that validate below the median of their group."""

import math
from collections.abc import Sequence

import numpy as np

STARTUP = 5
"""So many runs of a group finish before any is pruned."""

Curve = dict[int, float]
"""A run's validations by step; one may be NaN."""


def is_poor(curve: Curve, finished: Sequence[Curve], higher_is_better: bool) -> bool:
    """Whether the best of a run's validations so far is worse than the median of what the finished
    runs had at its last step; one without any that is a number is.

    The rule of Optuna's MedianPruner, with its defaults.
    """
    if len(finished) < STARTUP:
        return False
    sign = 1 if higher_is_better else -1
    numbers = [sign * value for value in curve.values() if not math.isnan(value)]
    step = max(curve)
    others = [sign * c[step] for c in finished if step in c and not math.isnan(c[step])]
    if not numbers:
        return True
    return bool(others) and max(numbers) < float(np.median(others))
