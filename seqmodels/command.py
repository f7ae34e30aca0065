"""The command that this process carries out, by what :mod:`seqmodels.cli` says of it.

Records and messages have it from here.
"""

import contextlib
import shlex
from collections.abc import Iterable, Iterator, Sequence

from seqmodels.secrets import shown_url

_words: list[str] = []


@contextlib.contextmanager
def carried_out(words: Sequence[str]) -> Iterator[None]:
    """In this ``with`` statement the process carries out the command of these words."""
    before = list(_words)
    _words[:] = words
    try:
        yield
    finally:
        _words[:] = before


def program() -> str:
    """What begins a line that this process ends with."""
    return _words[0] if _words else "python"


def command() -> str:
    """The command, to be pasted into a shell; empty where there is none, as in a notebook."""
    return shown_command(_words) if _words else ""


def shown_command(words: Iterable[str]) -> str:
    """A command line without passwords; the first word is the program, as messages name it.

    >>> shown_command(["sweep.py", "--storage", "postgresql://me:a b@host/x", "--workdir=it"])
    "python sweep.py --storage 'postgresql://me:***@host/x' --workdir=it"
    >>> shown_command(["seqmodels sweep", "--workdir=a b"])
    "seqmodels sweep '--workdir=a b'"
    """
    program, *rest = words
    ours = program.startswith(("seqmodels ", "python -m seqmodels "))
    called = program.split() if ours else ["python", program]
    # In a word a password ends with its URL, whatever is in it.
    return shlex.join([*called, *map(shown_url, rest)])
