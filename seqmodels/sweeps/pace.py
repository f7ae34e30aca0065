"""How often all runs of a sweep are looked at: hundreds of files, while others train."""

import time
from collections.abc import Callable

LOOK_SECONDS = 1.0
LOOK_SHARE = 0.02
"""Of a core's time at most, for looking at the runs: those that train need the cores."""


def rest(looked: float, is_over: Callable[[], bool]) -> None:
    """Waits a second, and after a look that took long so much longer, unless it is over before.

    Args:
      looked: processor seconds that the look took.
      is_over: whether to wait no more; asked each second.
    """
    until = time.monotonic() + max(LOOK_SECONDS, looked / LOOK_SHARE)
    while time.monotonic() < until and not is_over():
        time.sleep(LOOK_SECONDS)
