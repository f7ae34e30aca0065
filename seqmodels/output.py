"""What is shown beside what is done: where it fails, the work goes on without it."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any


class Lenient:
    """A text stream that drops what can't be written.

    A reader that goes away (``| head -1``), a terminal that is closed, a full disk, letters that an
    encoding lacks: none of them is an error of the program that prints. In all else it is the
    stream itself.
    """

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                known = self._stream.encoding
                self._stream.write(text.encode(known, "replace").decode(known))
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def settle(self) -> None:
        """To be called last: what is still held back is dropped, which Python would complain of."""
        try:
            self._stream.flush()
        except OSError:
            with contextlib.suppress(OSError):  # one that is no file keeps it
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)


def warn(message: str) -> None:
    """Says on standard error what does not stop the work."""
    print(f"warning: {message}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def decoration(what: str, tell: Callable[[str], None]) -> Iterator[None]:
    """In this ``with`` statement stands what can be done without; else ``tell`` says so."""
    try:
        yield
    except Exception as error:
        tell(f"{what} ({in_a_line(error)})")


def in_a_line(error: BaseException) -> str:
    """What an error says, in one line and not too long a one.

    >>> in_a_line(OSError(28, "No space left on device", "runs/x"))
    'runs/x: No space left on device'
    >>> in_a_line(ValueError("first\\nsecond"))
    'ValueError: first'
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:200]}" if text else type(error).__name__
