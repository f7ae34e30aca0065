"""Memory that a step frees is kept for the next one, by settings of glibc's allocator."""

import ctypes
import os
import sys

# Parameters of mallopt, by their numbers in glibc's malloc.h.
M_MXFAST, M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = 1, -1, -4, -8

KEPT_AT_MOST = 2**31 - 1
"""Bytes of a step whose freed memory is kept; kept pieces of larger ones doubled their peak."""


def keep_freed_memory() -> None:
    """Makes glibc keep a step's temporaries for the next step.

    By default it returns every large block to the system when it is freed. Each step then gets its
    memory anew, zeroed page by page: 17% of the time of a Transformer's step and 60% of a depthwise
    convolution's (docs/performance.md). One arena, because the others give large blocks back
    whatever the settings; so a process calls this before it has a second thread, which brings one
    more, and with it half the speed of two devices. No bins for fast small blocks: they are all
    merged whenever a large block comes, at each small matrix product of a recurrence, which brings
    3 to 8%. What a user has set by the environment stays.
    """
    _mallopt({M_MMAP_MAX: 0, M_TRIM_THRESHOLD: KEPT_AT_MOST, M_ARENA_MAX: 1, M_MXFAST: 0})


def return_large_memory(step_bytes: int) -> None:
    """Makes glibc return freed memory again if a step takes more than KEPT_AT_MOST."""
    if step_bytes > KEPT_AT_MOST:
        _mallopt({M_MMAP_MAX: 65536})  # glibc's default


def _mallopt(settings: dict[int, int]) -> None:
    tuned = "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if tuned or any(name.startswith("MALLOC_") for name in os.environ):
        return
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for parameter, value in settings.items():
            libc.mallopt(parameter, value)
