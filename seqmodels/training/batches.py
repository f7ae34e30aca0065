"""The batches of a run, each made in the background before the loop asks for it."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

AHEAD = 2
"""Batches that are ready or in the making besides the one in the loop's hands: so many are held
in memory. One would do if every batch took as long as every step."""


class Batches[T]:
    """One thread makes the batches of some steps, in order; use it in a ``with`` statement.

    Args:
      make: step to batch; called from another thread than the loop's, one step at a time.
      steps: the steps, in order.
    """

    def __init__(self, make: Callable[[int], T], steps: range):
        self._make = make
        self._steps = iter(steps)
        self._begun: deque[Future[T]] = deque()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")

    def __enter__(self) -> "Batches[T]":
        """Begins with the first ones."""
        for _ in range(AHEAD):
            self._begin()
        return self

    def __exit__(self, *_) -> None:
        """Ends the thread; what it has begun is finished first, the rest is never made."""
        self._worker.shutdown(cancel_futures=True)

    def _begin(self) -> None:
        for step in self._steps:
            self._begun.append(self._worker.submit(self._make, step))
            break

    def next(self) -> T | None:
        """The next step's batch, waited for where it isn't ready; None after the last one.

        What making it raised is raised here.
        """
        if not self._begun:
            return None
        batch = self._begun.popleft()
        self._begin()
        return batch.result()
