"""Ends a process in which a step, or the wait for a batch, takes longer than a limit.

A thread looks. Of several processes all wait where one hangs: each tells the others what it does
once that has taken half of the limit, so that those that only wait for a step know whom to name:
who does something else, or says nothing. (One that is dead or stopped as a whole JAX misses after
``processes.HEARTBEAT`` seconds, whatever the limit.)
"""

import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from seqmodels.command import program
from seqmodels.training.processes import tell_others, told_by_others

EXIT_CODE = 4
"""Of a process that is ended."""
STANDARD_ERROR = 2
LOOKS = 20
"""In the time of a limit, but at least one a second."""
STEP = "step"
"""What a process does that may be waiting for the others in it."""
PAUSE = "pause after step"
"""What may take any time: for those too that wait for the process meanwhile."""


def leave(message: str) -> None:
    """Shows where every thread stands, says why, and ends the process at once.

    Threads that hang can't be ended, and whatever is waited for wouldn't come.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        faulthandler.dump_traceback(STANDARD_ERROR, all_threads=True)
        os.write(STANDARD_ERROR, f"{program()}: {message}\n".encode(errors="replace"))
    os._exit(EXIT_CODE)


class Watchdog:
    """Watches what the loop says that it does; use it in a ``with`` statement.

    Args:
      seconds: the limit; None watches nothing.
      end: is called with the message once the limit is passed; it doesn't return but in tests.
      clock: gives seconds.
      tell: tells the other processes what this one does.
      told: what the others have told, by their numbers; None for those that haven't.
    """

    def __init__(
        self,
        seconds: float | None,
        end: Callable[[str], None] = leave,
        clock: Callable[[], float] = time.monotonic,
        tell: Callable[[str], None] = tell_others,
        told: Callable[[], Mapping[int, str | None]] = told_by_others,
    ):
        self._seconds = seconds
        self._end, self._clock = end, clock
        self._tell, self._told = tell, told
        self._doing: tuple[str, int, float] | None = None
        """What, of which step, and since when."""
        self._last_told: tuple[str, int, float] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        if self._seconds is not None:
            self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()

    def does(self, what: str, step: int) -> None:
        """From now on the loop does this."""
        self._doing = what, step, self._clock()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What is done in this ``with`` statement may take any time; then the loop goes on."""
        what, step, _ = self._doing or (PAUSE, 0, 0.0)
        self.does(PAUSE, step)
        try:
            yield
        finally:
            self.does(what, step)

    def look(self) -> None:
        """Ends the process if the limit is passed."""
        doing = self._doing
        if doing is None or self._seconds is None:
            return
        what, step, since = doing
        waited, told = self._clock() - since, self._last_told
        if told != doing and (waited > self._seconds / 2 or (told and told[0] == PAUSE)):
            self._last_told = doing
            self._tell(f"{what} {step}")
        if waited > self._seconds and what != PAUSE:
            others = self._told() if what == STEP else {}
            doing_now = {n: _recent(told, step) for n, told in others.items()}
            if not any(now.startswith(PAUSE) for now in doing_now.values()):
                self._end(self._message(what, step, doing_now))

    def _message(self, what: str, step: int, others: Mapping[int, str]) -> str:
        """Asks no disk: it may be what hangs."""
        hanging = [
            f"process {number} hangs ({f'in {doing}' if doing else 'it says nothing'}): "
            for number, doing in others.items()
            if not doing.startswith(STEP)
        ]
        return (
            f"{''.join(hanging)}{what} {step} takes longer than train.watchdog_seconds="
            f"{self._seconds:g}; the same command{' in every process' * bool(others)} continues "
            "from the latest checkpoint"
        )

    def _watch(self) -> None:
        assert self._seconds is not None
        while not self._over.wait(min(1.0, self._seconds / LOOKS)):
            self.look()


def _recent(told: str | None, step: int) -> str:
    """What a process has told that it does; nothing where that is long past.

    One that waits in a step is two ahead at most of those that it waits for.

    >>> _recent("the batch of step 12", 14), _recent("step 4", 14)
    ('the batch of step 12', '')
    """
    number = int(told.rpartition(" ")[2]) if told else -1
    return told if told and number >= step - 2 else ""
