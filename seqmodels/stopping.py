"""Signals that ask a program to stop, while it has nothing of its own to say to them.

A run that trains takes them over (:mod:`seqmodels.training.interruption`), so that it can save.
Only what is always loaded is imported here: a command takes them over before all other imports.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, the system or a cluster, and a terminal that is closed."""


def stop_at_once(program: str) -> None:
    """Makes each of the signals end this process in a line, which begins with the program's name.

    For a command's first moments: what they import takes a while, and nothing is lost yet.
    """
    take_over(partial(_leave, program))


@contextlib.contextmanager
def raised(program: str) -> Iterator[None]:
    """In this ``with`` statement a signal raises KeyboardInterrupt, with its number.

    While modules are imported it ends the process instead, in the program's name, because what
    they do with an exception is theirs.
    """
    before = take_over(partial(_raise, program))
    try:
        yield
    finally:
        give_back(before)


def take_over(handler: Any) -> dict[int, Any]:
    """Makes a handler that of each signal; returns those before.

    A hang-up that is ignored stays so. In a thread nothing is done: signals come to the main one.
    """
    before = {}
    with contextlib.suppress(ValueError):
        for number in SIGNALS:
            ignored = signal.getsignal(number) is signal.SIG_IGN
            if not (ignored and number == signal.SIGHUP):  # by nohup
                before[number] = signal.signal(number, handler)
    return before


def give_back(before: dict[int, Any]) -> None:
    """Undoes :func:`take_over`."""
    for number, handler in before.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _raise(program: str, number: int, frame: FrameType | None) -> NoReturn:
    inner = frame
    while inner is not None:
        if inner.f_code.co_filename.startswith("<frozen importlib"):
            _leave(program, number, frame)
        inner = inner.f_back
    raise KeyboardInterrupt(number)


def _leave(program: str, number: int, frame: FrameType | None) -> NoReturn:
    with contextlib.suppress(Exception):  # it may be in the middle of a print
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        os.write(2, f"{program}: stopped\n".encode(errors="replace"))
    os._exit(128 + number)
