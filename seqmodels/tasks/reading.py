"""Tasks that read files: which, where their settings find them, and what each split has of them."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from seqmodels.errors import require
from seqmodels.paths import local_path
from seqmodels.tasks.base import SPLITS, Split, Task

HASHED_WHOLE = 2**24
"""Bytes; of a larger file only its size and as many at its two ends together are hashed."""


@runtime_checkable
class ReadingTask(Task, Protocol):
    """A task whose examples are read from files."""

    places: dict[str, str]
    """By setting the absolute path that it stands for: ``{"files": "/data/notes/**/*.txt"}``."""
    kept_bytes: int
    """How much of the files is held in memory at least."""

    def reads(self) -> dict[str, Path]:
        """Every file that is read, by a name that is the same where the files lie elsewhere."""
        ...

    def holds(self) -> dict[Split, str]:
        """What each split has of them, in words: ``"3 files, 1,024 bytes (5.0%)"``."""
        ...


class FileRecord(NamedTuple):
    """What tells a file's content from another."""

    size: int
    sha256: str


def record_file(path: Path) -> FileRecord:
    """Hashes a regular file, of a large one its two ends; raises OSError where it can't be read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # without waiting at a pipe
    with open(descriptor, "rb") as file:
        size = os.fstat(descriptor).st_size
        digest = hashlib.sha256(file.read(HASHED_WHOLE if size <= HASHED_WHOLE else HALF))
        if size > HASHED_WHOLE:
            file.seek(size - HALF)
            digest.update(file.read(HALF))
    return FileRecord(size, digest.hexdigest())


HALF = HASHED_WHOLE // 2


def absolute(path: str, setting: str) -> str:
    """A path, or a pattern of paths, that means the same from every folder.

    Raises:
      ParameterError: it is empty, or not on this machine; it is called by its setting.
    """
    require(path != "", f"{setting}='' is empty; name what is to be read")
    return os.path.abspath(local_path(path, f"{setting}="))


def in_words(
    files: Mapping[Split, int], amounts: Mapping[Split, int], unit: str
) -> dict[Split, str]:
    """How many files and how much of all each split has.

    >>> in_words({"train": 1, "validation": 2, "test": 1}, dict.fromkeys(SPLITS, 1000), "bytes")[
    ...     "validation"
    ... ]
    '2 files, 1,000 bytes (33.3%)'
    """
    total = max(1, sum(amounts.values()))
    return {
        split: f"{files[split]:,} file{'s' * (files[split] != 1)}, {amounts[split]:,} {unit} "
        f"({amounts[split] / total:.1%})"
        for split in SPLITS
    }
