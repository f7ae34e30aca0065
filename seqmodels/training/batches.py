"""The batches of a run, each made in the background before the loop asks for it."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue

from seqmodels.training.startup import cores

AHEAD = 2
"""Batches that are ready or in the making besides the one in the loop's hands, and one more for
each thread after the first: so many are held in memory. One would do if every batch took as
long as every step."""
MOST_WORKERS = 4
"""Threads at most: NumPy leaves the interpreter's lock for a part of its work alone."""
LEAVE_SECONDS = 20.0
"""For so long what threads have begun is waited for at the end."""


class Batches[T]:
    """Threads make the batches of some steps; use it in a ``with`` statement.

    At first there is one, which is enough where a batch takes less time than a step. When the loop
    has to wait for a batch but the first, another thread is added. Batches come in order
    all the same.

    Args:
      make: step to batch, a pure function; called from other threads than the loop's.
      steps: the steps, in order.
      most_workers: the most threads; None for the cores that this process may use, and no more
        than ``MOST_WORKERS``.
    """

    def __init__(self, make: Callable[[int], T], steps: range, most_workers: int | None = None):
        self._make = make
        self._steps = iter(steps)
        self._begun: deque[Future[T]] = deque()
        self._asked: SimpleQueue[tuple[Future[T], int] | None] = SimpleQueue()
        self._most = most_workers or min(cores(), MOST_WORKERS)
        self._workers: list[threading.Thread] = []
        self._first = True
        self.waited = 0.0
        """The seconds for which batches but the first were waited for; where it stays, batches
        wait for the loop."""

    def __enter__(self) -> "Batches[T]":
        self._add_worker()
        for _ in range(AHEAD):
            self._begin()
        return self

    def __exit__(self, *_) -> None:
        """Ends the threads; what they have begun is finished first, the rest is never made.

        One that doesn't end, because its disk doesn't answer, is left to the end of the process.
        """
        for batch in self._begun:
            batch.cancel()
        for _ in self._workers:
            self._asked.put(None)
        deadline = time.monotonic() + LEAVE_SECONDS
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))

    def _add_worker(self) -> None:
        name = f"batches-{len(self._workers)}"
        self._workers.append(threading.Thread(target=self._work, name=name, daemon=True))
        self._workers[-1].start()

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            batch, step = asked
            if batch.set_running_or_notify_cancel():
                try:
                    batch.set_result(self._make(step))
                except BaseException as error:
                    batch.set_exception(error)

    def _begin(self) -> None:
        for step in self._steps:
            self._begun.append(Future())
            self._asked.put((self._begun[-1], step))
            break

    def next(self) -> T | None:
        """The next step's batch, waited for where it isn't ready; None after the last one.

        What making it raised is raised here.
        """
        if not self._begun:
            return None
        batch = self._begun.popleft()
        late = not self._first and not batch.done()
        if late and len(self._workers) < self._most:
            self._add_worker()
            self._begin()
        self._begin()
        begin = time.monotonic()
        made = batch.result()
        self.waited += time.monotonic() - begin if late else 0.0
        self._first = False
        return made

    @property
    def workers(self) -> int:
        return len(self._workers)
