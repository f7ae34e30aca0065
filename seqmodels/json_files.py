"""The one place that reads and writes JSON: each kind of file has one schema, checked whole.

A schema is a type that msgspec converts to: a ``TypedDict`` or dataclass, with containers and
unions of them. It stands beside what writes the file. Unknown keys are left out,
so that a later version's file is still read.
"""

import contextlib
import json
import os
import re
import socket
import stat
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from types import GenericAlias
from typing import Any

import msgspec

from seqmodels.errors import UserError

LARGEST = 2**28
"""Bytes of the largest file that is read; ours are thousands of times smaller."""
GREATEST = 1e100
"""Numbers are below it, so that sums and products of them are numbers."""
DEEPEST = 64
"""Levels of lists and objects in one another; ours have eight at most."""


class UnreadableError(UserError):
    """A file that is cut short or holds something else, in one line."""


def read_json[T](file: Path, schema: type[T] | GenericAlias) -> T | None:
    """The content of a file, of the schema's type; None where there is no file.

    Raises:
      UnreadableError: it is no JSON, holds something else, or can't be read.
    """
    content = _read(file)
    return None if content is None else parse_json(content, schema, str(file))


def read_json_lines[T](
    file: Path, schema: type[T] | GenericAlias, listed: bool = False
) -> Iterator[tuple[str, T | UnreadableError]]:
    """Each line of a file, with its content or what is wrong with it; none where there is no file.

    A last line without its newline that holds none was cut short, and is left out. With ``listed``
    the lines may also be the entries of one list (:func:`listed_lines`): what makes them that
    is no part of them.
    """
    *lines, last = (_read(file) or b"").split(b"\n")
    for number, line in enumerate([*lines, last] if last else lines, 1):
        if listed:
            line = line.removesuffix(b",")
            if line in (b"[", b"]", b"[]"):
                continue
        text = line.decode(errors="replace")
        try:
            yield text, parse_json(line, schema, f"{file}, line {number},")
        except UnreadableError as error:
            if number <= len(lines):
                yield text, error


def listed_lines(lines: Iterable[str]) -> str:
    """Lines of JSON as one list with an entry a line: what git compares is a line.

    >>> listed_lines(["1", "2"]), listed_lines([])
    ('[\\n1,\\n2\\n]\\n', '[]\\n')
    """
    entries = ",\n".join(lines)
    return f"[\n{entries}\n]\n" if entries else "[]\n"


def parse_json[T](text: bytes | str, schema: type[T] | GenericAlias, name: str) -> T:
    """What a text says, of the schema's type; ``name`` is what messages call the text.

    Raises:
      UnreadableError: it is no JSON, or holds something else.
    """
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        if _levels(decoded) > DEEPEST:
            raise UnreadableError(
                f"{name} holds something else: it is nested more than {DEEPEST} levels deep"
            )
        content = json.loads(decoded, parse_int=_whole, parse_float=_bounded)
    except ValueError as error:  # no JSON, no UTF-8, or a number that is too large
        raise UnreadableError(f"{name} is cut short or no JSON ({error})") from None
    return convert(content, schema, name)


def convert[T](content: Any, schema: type[T] | GenericAlias, name: str) -> T:
    """What JSON said, as the schema's type.

    Raises:
      UnreadableError: it is something else.
    """
    try:
        return msgspec.convert(content, schema)
    except msgspec.ValidationError as error:
        raise UnreadableError(f"{name} holds something else: {error}") from None


_TEXT = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[][{}]")


def _levels(text: str) -> int:
    """How deep a text's lists and objects are nested, without following them down.

    A parser, and whatever walks through what it gives, goes down the C stack with each level.

    >>> _levels('{"a": [1, [2], "[["]}')
    3
    """
    steps = (1 if found[0] in "[{" else -1 for found in _BRACKET.finditer(_TEXT.sub("", text)))
    return max(accumulate(steps), default=0)


def _whole(text: str) -> int | float:
    """A whole number; as a float, as which no schema takes it for one, from 20 digits on."""
    return int(text) if len(text) < 20 else _bounded(text)


def _bounded(text: str) -> float:
    if not abs(value := float(text)) < GREATEST:
        raise ValueError(f"the number {text[:8]}… is not below {GREATEST:g}")
    return value


def write_json(file: Path, content: Any) -> None:
    """Writes a file as :func:`write_whole` does."""
    write_whole(file, json.dumps(content, indent=2) + "\n")


def write_whole(file: Path, content: str | bytes) -> None:
    """Writes a file wholly or not at all, and returns when it is on the disk.

    Raises:
      UserError: it can't be written.
    """
    temporary = file.with_name(f".{file.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        with temporary.open("wb") as opened:
            text = isinstance(content, str)
            opened.write(content.encode("utf-8", "replace") if text else content)
            opened.flush()
            os.fsync(opened.fileno())
        temporary.replace(file)
    except OSError as error:
        raise UserError(f"{file} can't be written ({error.strerror})") from None
    finally:  # also where a signal ends it
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _read(file: Path) -> bytes | None:
    try:
        # Without waiting for the other end of a pipe.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, "rb") as opened:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableError(f"{file} is no regular file")
            if status.st_size > LARGEST:
                raise UnreadableError(f"{file} has {status.st_size:,} bytes, above {LARGEST:,}")
            return opened.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UnreadableError(f"{file} can't be read: {error.strerror}") from None
