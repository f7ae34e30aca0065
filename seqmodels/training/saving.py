"""When a run saves besides at its validations: once its last save was too long ago."""

import time
from collections.abc import Callable

from seqmodels.training.processes import largest


class SaveTimer:
    """Says when a save is due.

    Args:
      seconds: after the last one; None for never.
      clock: gives seconds.
    """

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic):
        self._seconds, self._clock = seconds, clock
        self._last = clock()

    def saved(self) -> None:
        """A save has begun."""
        self._last = self._clock()

    def due(self) -> bool:
        """Whether it is for any of the processes, each of which must ask."""
        if self._seconds is None:
            return False
        return bool(largest(self._clock() - self._last >= self._seconds))
