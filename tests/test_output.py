"""What is shown ends nothing."""

import errno
import io
import os

import pytest
from rich.console import Console

from seqmodels.output import Lenient, decoration
from tests.moments import Refusing


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.ENOSPC, errno.EBADF])
def test_what_can_not_be_written_is_dropped(number):
    stream = Lenient(Refusing(number))
    print("lost", file=stream, flush=True)
    Console(file=stream).print("lost, by a library that exits where a pipe is broken")


def test_what_can_be_written_is(capsys):
    stream = Lenient(io.StringIO())
    print("a", 1, file=stream, flush=True)
    assert stream.getvalue() == "a 1\n"
    assert not stream.isatty()


def test_letters_that_an_encoding_lacks_are_replaced():
    raw = io.BytesIO()
    stream = Lenient(io.TextIOWrapper(raw, encoding="ascii"))
    print("3 × 4", file=stream, flush=True)
    assert raw.getvalue() == b"3 ? 4\n"


def test_python_has_nothing_to_complain_of_at_exit():
    """It flushes standard output once more, and exits with 120 where that fails."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = open(writer, "w")  # noqa: SIM115
    print("held back", file=Lenient(stream))
    Lenient(stream).settle()
    stream.flush()
    stream.close()


def test_a_decoration_that_fails_is_said():
    said = []
    with decoration("no picture", said.append):
        raise ValueError("first line\nsecond line")
    with decoration("no picture", said.append):
        raise OSError(errno.ENOSPC, "No space left on device", "a.png")
    assert said == [
        "no picture (ValueError: first line)",
        "no picture (a.png: No space left on device)",
    ]
    with pytest.raises(KeyboardInterrupt), decoration("no picture", said.append):
        raise KeyboardInterrupt
