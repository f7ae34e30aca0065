"""Files of one's own, and the standard library's: found, read, and each put into one split."""

import glob
import hashlib
import os
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from seqmodels.errors import ConfigError, ParameterError, require
from seqmodels.tasks.base import Split


def find_files(files: str) -> dict[str, Path]:
    """The files that are not empty, by their name in the folder that holds them all.

    Args:
      files: a folder, a glob (``**`` crosses folders), or ``"stdlib"`` for the Python standard
        library's own source without its tests. What exists is meant as it is written: in
        ``notes[1]/*.txt`` the folder ``notes[1]`` where there is one, else ``notes1``.

    Raises:
      ParameterError: there are not 3, one for each split.
    """
    if files == "stdlib":
        return _stdlib_files()
    named = os.path.abspath(os.path.expanduser(files))
    folder, pattern = _existing_part(Path(named))
    one_file = [""] if not pattern and folder.is_file() else None
    found = one_file or glob.glob(pattern or "**", root_dir=folder, recursive=True)
    # By what links lead to, or a file and a link to it would lie in two splits.
    candidates = (folder / name for name in sorted(found))
    paths = {path.resolve(): path for path in candidates if path.is_file()}
    holding = [path for path in paths.values() if path.stat().st_size > 0]
    if len(holding) < 3:
        what = f"{len(holding)} non-empty files" if paths else "nothing"
        raise ParameterError(
            f"files={files!r} matches {what}; at least 3 files are needed, one for each split; "
            "write a folder, a glob such as 'notes/**/*.txt', or 'stdlib'"
        )
    root = os.path.commonpath([path.parent for path in holding]) if pattern else folder
    return {path.relative_to(root).as_posix(): path for path in holding}


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
        if not left_out & set(path.relative_to(root).parts) and path.stat().st_size > 0
    }


def split_files(sizes: Mapping[str, int], held_out: float) -> dict[Split, list[str]]:
    """Each file's split, by the order of a hash of its name, whatever else it lies beside.

    The first files go to test until they have a share of all that the files hold, the next to
    validation, the others to training; each split has at least one.

    Args:
      sizes: what each of at least 3 files holds, by name.
      held_out: the share that goes to validation, and again to test.

    >>> split_files({"a": 1, "b": 1, "c": 1, "d": 1}, held_out=0.25)
    {'train': ['b', 'a'], 'validation': ['c'], 'test': ['d']}
    """
    in_order = sorted(sizes, key=_hashed)
    wanted = held_out * sum(sizes.values())
    parts: dict[Split, list[str]] = {"train": [], "validation": [], "test": []}
    in_turn: tuple[tuple[Split, int], ...] = (("test", 2), ("validation", 1))
    for split, others in in_turn:  # one file stays for each later split
        while len(in_order) > others and sum(sizes[name] for name in parts[split]) < wanted:
            parts[split].append(in_order.pop(0))
    parts["train"] = in_order
    return parts


def _hashed(name: str) -> bytes:
    # A file's name may hold bytes that are not UTF-8.
    return hashlib.sha256(name.encode(errors="surrogateescape")).digest()


def require_held_out(held_out: float) -> None:
    """Refuses a share for validation and again for test that leaves nothing to train on."""
    require(0 < held_out < 0.5, f"held_out={held_out} is not above 0 and below 0.5")


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
