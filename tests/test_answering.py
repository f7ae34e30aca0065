"""A Ctrl-C while the main thread is in C, as in a compiler, is answered; a second one ends it."""

import ctypes
import os
import signal
import sys
import threading
import time

import pytest

from seqmodels import answering
from seqmodels.answering import answered


class Lock:
    """A lock of C's, held: the main thread waits for it as it waits for a compiler."""

    def __init__(self):
        self._libc, self._mutex = ctypes.CDLL(None), ctypes.create_string_buffer(128)
        self._libc.pthread_mutex_init(self._mutex, None)
        self._libc.pthread_mutex_lock(self._mutex)

    def wait(self):
        self._libc.pthread_mutex_lock(self._mutex)

    def let_go(self):
        self._libc.pthread_mutex_unlock(self._mutex)

    def is_waited_for(self) -> bool:
        """Whether somebody is in the call: glibc's first word of a lock is 2 from then on."""
        return int.from_bytes(self._mutex[:4], sys.byteorder) == 2


def interrupt_once_stuck(lock: Lock):
    """Sends SIGINT when the main thread is in the call of Lock.wait, and no sooner."""
    while not lock.is_waited_for():
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)


def test_a_thread_that_is_stuck_is_answered_for(monkeypatch):
    lock, said, ended = Lock(), [], []

    def write(_, text):
        said.append(text)
        os.kill(os.getpid(), signal.SIGINT)

    def leave(code):
        ended.append(code)
        lock.let_go()

    monkeypatch.setattr(answering.os, "write", write)
    monkeypatch.setattr(answering.os, "_exit", leave)
    threading.Thread(target=interrupt_once_stuck, args=(lock,)).start()
    with pytest.raises(KeyboardInterrupt), answered("train.py", patience=0.1, last=0.1):
        lock.wait()
    line = b"train.py: stopping as soon as what runs now lets it; Ctrl-C again ends it within 0 s\n"
    assert said == [line]
    assert ended == [128 + signal.SIGINT]


def test_a_thread_that_moves_answers_for_itself(monkeypatch):
    said = []
    monkeypatch.setattr(answering.os, "write", lambda _, text: said.append(text))
    with pytest.raises(KeyboardInterrupt), answered("train.py", patience=60.0):
        signal.raise_signal(signal.SIGINT)
    assert said == []
    assert signal.set_wakeup_fd(-1) == -1, "the descriptor is given back"
