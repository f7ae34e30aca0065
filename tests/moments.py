"""What befalls a run at a moment that the test chooses: observers for ``fit``, and a bad output."""

import io
import os
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


class Refusing(io.StringIO):
    """A stream that takes nothing: its reader has gone, or the disk is full."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))

    def flush(self) -> None:
        raise OSError(self.number, os.strerror(self.number))


def terminate() -> None:
    """Sends this process a SIGTERM."""
    signal.raise_signal(signal.SIGTERM)
