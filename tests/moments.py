"""What befalls a run at a moment that the test chooses: observers for ``fit``."""

import signal
from collections.abc import Callable

from seqmodels.training.moments import Moment, Observer


def at(moment: Moment, step: int, action: Callable[[], object], time: int = 1) -> Observer:
    """Does something when a step's moment comes, for the first or for another time."""
    seen = 0

    def observer(now: Moment, number: int) -> None:
        nonlocal seen
        seen += (now, number) == (moment, step)
        if (now, number, seen) == (moment, step, time):
            action()

    return observer


def terminate() -> None:
    """Sends this process a SIGTERM."""
    signal.raise_signal(signal.SIGTERM)
