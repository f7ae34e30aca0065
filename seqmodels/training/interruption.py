"""Stopping a run from outside, without losing what it has done."""

import signal
from typing import Any

from seqmodels.errors import UserError
from seqmodels.training.processes import largest


class RunInterruptedError(UserError):
    """The run was asked to stop, and has saved itself. Exit code 128 + the signal's number."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number


class Interruption:
    """Turns the first SIGINT or SIGTERM into a flag, so that the loop can save and stop.

    A second signal stops at once. Use it in a ``with`` statement; outside it signals
    do what they did before.
    """

    def __init__(self):
        self.signal: int | None = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        """Takes the signals over."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_) -> None:
        """Gives them back."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def agreed(self) -> int | None:
        """The signal that came to any of the processes, each of which must ask."""
        return largest(self.signal or 0) or None

    def _note(self, number: int, frame: Any) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
