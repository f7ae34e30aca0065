"""Locks on files: held by one process at a time, and let go of by its end, whatever ends it."""

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from seqmodels.json_files import UnreadableError, read_json

UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What a file system says that has no locks."""


class HeldError(Exception):
    """Another process holds the lock; the message says which."""


class _Holder(TypedDict):
    """What a locked file says."""

    machine: str
    process: int


@contextlib.contextmanager
def held(file: Path) -> Iterator[None]:
    """Holds a lock: a file that is made for it, and deleted after.

    Raises:
      HeldError: another process holds it, or another thread of this one.
      OSError: there can be no such file, or no lock on it.
    """
    descriptor = _take(file)
    try:
        yield
    finally:
        try:
            with contextlib.suppress(OSError):
                file.unlink()
        finally:
            os.close(descriptor)


def _take(file: Path) -> int:
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(descriptor, file):  # and not one that its last holder has just deleted
                holder = _Holder(machine=socket.gethostname(), process=os.getpid())
                with contextlib.suppress(OSError):  # a full disk holds locks all the same
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, json.dumps(holder).encode())
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise HeldError(_describe(file)) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _describe(file: Path) -> str:
    with contextlib.suppress(UnreadableError):
        holder = read_json(file, _Holder)
        if holder is not None:
            return f"process {holder['process']} on {holder['machine']}"
    return "another process"
