"""Ctrl-C is answered at once, also while the main thread is in a compiler that knows no signals.

Python runs a signal's handler between two instructions of the main thread; compiling is one
instruction, of half a minute. What C writes down of a signal is read here by another thread.
"""

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE, LAST = 2.0, 10.0
"""Seconds after a Ctrl-C until it is acknowledged, and after a second one until the end."""


@contextmanager
def answered(name: str, patience: float = PATIENCE, last: float = LAST) -> Iterator[None]:
    """In this ``with`` statement a Ctrl-C that can't be followed yet is acknowledged.

    A second one ends the process if that still can't follow. Nothing is lost by it: a run is what
    its last checkpoint says, whatever ended it. ``name`` is what the program calls itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    main = _MainThread()

    def watch() -> None:
        asked = 0
        while number := os.read(reading, 1):
            if number[0] != signal.SIGINT:
                continue
            asked += 1
            if main.moves_within(patience if asked == 1 else last):
                continue
            if asked == 1:
                say = "stopping as soon as what runs now lets it; Ctrl-C again ends it within"
                os.write(2, f"{name}: {say} {last:.0f} s\n".encode(errors="replace"))
            else:
                os._exit(128 + signal.SIGINT)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        main.is_through.set()
        signal.set_wakeup_fd(before)
        os.close(writing)
        thread.join()
        os.close(reading)


class _MainThread:
    """What another thread can see of the main one."""

    def __init__(self):
        self.is_through = threading.Event()
        """Set by the main thread where it leaves what is watched."""
        self._call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(self._note)
        _KEPT.append(self._call)
        self._moved = threading.Event()

    def _note(self, _: object) -> int:
        self._moved.set()
        return 0

    def moves_within(self, seconds: float) -> bool:
        """Whether the main thread comes to an instruction of Python's within so many seconds."""
        self._moved.clear()
        ctypes.pythonapi.Py_AddPendingCall(self._call, None)
        steps = max(1, round(seconds / 0.1))
        return any(self._moved.wait(0.1) or self.is_through.is_set() for _ in range(steps))


_KEPT: list[object] = []
"""What Python may still call when nobody else remembers it."""
