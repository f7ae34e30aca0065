"""Stopping a run from outside, without losing what it has done."""

import signal
from typing import Any

from seqmodels import stopping
from seqmodels.errors import UserError
from seqmodels.training.processes import largest


class RunInterruptedError(UserError):
    """The run was asked to stop, and has saved itself. Exit code 128 + the signal's number."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number


class Interruption:
    """Turns the first signal that asks to stop into a flag, so that the loop can save and stop.

    Those are Ctrl-C, SIGTERM and the SIGHUP of a terminal that is closed; a Ctrl-C after one of
    them stops at once. Use it in a ``with`` statement; outside it signals do what they did before.
    In a thread it does nothing: whoever has the main one stops the program.
    """

    def __init__(self):
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        self._before = stopping.take_over(self._note)
        return self

    def __exit__(self, *_) -> None:
        stopping.give_back(self._before)

    def agreed(self) -> int | None:
        """The signal that came to any of the processes, each of which must ask."""
        return largest(self.signal or 0) or None

    def _note(self, number: int, frame: Any) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt(number)
        self.signal = self.signal or number
