"""Files of one's own, and the standard library's: found and read."""

import contextlib
import fnmatch
import os
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from seqmodels.errors import ConfigError, ParameterError
from seqmodels.tasks.reading import absolute

STDLIB = "stdlib"
"""Names the Python standard library's own source, without its tests."""
_LEFT_BEHIND = {"__pycache__", "__MACOSX"}
"""Folders that programs leave beside what is one's own, as they do hidden ones."""


def find_files(files: str) -> dict[str, Path]:
    """The files that are not empty, by their name in the folder that holds them all.

    Regular files alone, each once, also where links lead to it, and without what is left behind
    (:func:`is_left_behind`) where it isn't named.

    Args:
      files: a file, a folder, a glob (``**`` crosses folders), or ``"stdlib"`` for the Python
        standard library's own source without its tests. What exists is meant as it is written: in
        ``notes[1]/*.txt`` the folder ``notes[1]`` where there is one, else ``notes1``.

    Raises:
      ParameterError: there is none.
    """
    if files == STDLIB:
        return _stdlib_files()
    named = absolute(files, "files")
    folder, pattern = _existing_part(Path(named))
    if not pattern and folder.is_file():
        found = [folder]
    else:
        parts = Path(pattern).parts or ("**",)
        found = sorted(_matching(folder, parts, set()), key=lambda path: str(path))
    # By what lies on the disk, or a file and a link to it would lie in two splits.
    sizes: dict[tuple[int, int], tuple[Path, int]] = {}
    for path in found:
        with contextlib.suppress(FileNotFoundError):  # it has been deleted meanwhile
            status = path.stat()
            sizes[status.st_dev, status.st_ino] = path, status.st_size
    holding = [path for path, size in sizes.values() if size > 0]
    if not holding:
        what = "empty files alone" if sizes else "nothing"
        raise ParameterError(
            f"files={files!r} matches {what}; write a file, a folder, a glob such as "
            "'notes/**/*.txt', or 'stdlib'"
        )
    inside = pattern or folder.is_file()
    root = os.path.commonpath([path.parent for path in holding]) if inside else folder
    return {path.relative_to(root).as_posix(): path for path in holding}


def is_left_behind(name: str) -> bool:
    """Whether a file or folder was left there by a program: a hidden one, or compiled code.

    >>> [is_left_behind(name) for name in (".ipynb_checkpoints", "._1.png", "__MACOSX", "cats")]
    [True, True, True, False]
    """
    return name.startswith(".") or name in _LEFT_BEHIND


def _matching(
    folder: Path, parts: tuple[str, ...], seen: set[tuple[int, int, tuple[str, ...]]]
) -> Iterator[Path]:
    """The regular files below a folder whose names there match the parts of a pattern.

    Each folder is looked through once for what is left of the pattern, so that links that lead
    back end.
    """
    try:
        status = folder.stat()
        names = sorted(os.listdir(folder))
    except OSError:  # what can't be looked into holds nothing, as in glob
        return
    place = (status.st_dev, status.st_ino, parts)
    if place in seen:
        return
    seen.add(place)
    first, rest = parts[0], parts[1:]
    if first == "**":
        yield from _matching(folder, rest or ("*",), seen)
        for name in names:
            if not is_left_behind(name) and os.path.isdir(folder / name):
                yield from _matching(folder / name, parts, seen)
        return
    for name in names:
        named = first.startswith(".") or not is_left_behind(name) or name == first
        if named and fnmatch.fnmatchcase(name, first):
            if rest:
                yield from _matching(folder / name, rest, seen)
            elif os.path.isfile(folder / name):
                yield folder / name


def is_there(place: str) -> bool:
    """Whether what an absolute path or pattern names up to its first wildcard exists."""
    _, left = _existing_part(Path(place))
    return not left or any(sign in Path(left).parts[0] for sign in "*?[")


def _existing_part(path: Path) -> tuple[Path, str]:
    """The longest part of a path that exists, and what is left of it: a pattern, or nothing."""
    part = Path(path.anchor)
    for index, name in enumerate(path.parts[1:], 1):
        if not os.path.exists(part / name):
            return part, os.path.join(*path.parts[index:])
        part /= name
    return part, ""


def _stdlib_files() -> dict[str, Path]:
    root = Path(sysconfig.get_path("stdlib"))
    left_out = {"site-packages", "dist-packages", "test", "tests", "__pycache__"}
    return {
        path.relative_to(root).as_posix(): path
        for path in root.rglob("*.py")
        if not left_out & set(path.relative_to(root).parts)
        and path.is_file()
        and path.stat().st_size > 0
    }


def read_files(paths: Mapping[str, Path]) -> dict[str, UInt8[np.ndarray, "n"]]:
    """Every file's bytes; raises :class:`ConfigError` for one that can't be read."""
    contents = {}
    for index, (name, path) in enumerate(paths.items()):
        try:
            contents[name] = np.fromfile(path, np.uint8)
        except OSError as error:
            raise ConfigError(
                f"task.files: can't read {path}: {error.strerror} (file {index} of {len(paths)})"
            ) from None
    return contents
