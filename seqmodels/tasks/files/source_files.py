"""Local files for tasks on their bytes: in splits, read once, those of a folder together."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from seqmodels.arrays import Int
from seqmodels.errors import require_least
from seqmodels.tasks.base import SPLITS, ByRows, Split, classification_metrics
from seqmodels.tasks.files.finding import STDLIB, find_files, read_files
from seqmodels.tasks.files.splits import Parts, require_held_out, split_files
from seqmodels.tasks.reading import absolute, in_words


class Files(NamedTuple):
    """Files one after another, those of a top-level folder together."""

    bytes: UInt8[np.ndarray, "n"]
    starts: Int[np.ndarray, "files"]
    sizes: Int[np.ndarray, "files"]
    folders: Int[np.ndarray, "files"]
    """The number of each file's top-level folder, which never falls."""


class SplitFiles(ByRows):
    """Files that are found and put into splits, and what a run notes of them."""

    parts: Parts
    """What of them each split has."""

    def __init__(self, files: str):
        self.files = files
        self.paths = find_files(files)
        self.sizes = {name: path.stat().st_size for name, path in self.paths.items()}
        self.places = {} if files == STDLIB else {"files": absolute(files, "files")}
        self.kept_bytes = sum(self.sizes.values())

    def split(self, sizes: Mapping[str, int], held_out: float, splitting: str) -> Parts:
        """What each split has of some of the files."""
        what, own = f"files={self.files!r}", self.files != STDLIB
        return split_files(sizes, held_out, what, splitting, by_name=own)

    def read(self) -> dict[Split, list[UInt8[np.ndarray, "_"]]]:
        """Each split's parts, in their order."""
        names = {part.name for parts in self.parts.values() for part in parts}
        contents = read_files({name: self.paths[name] for name in self.paths if name in names})
        return {
            split: [contents[part.name][part.start : part.end] for part in self.parts[split]]
            for split in SPLITS
        }

    def reads(self) -> dict[str, Path]:
        """Every file that is read, by its name in the folder that holds them all."""
        names = {part.name for parts in self.parts.values() for part in parts}
        return {name: self.paths[name] for name in sorted(names)}

    def holds(self) -> dict[Split, str]:
        counts: dict[Split, int] = {split: len(self.parts[split]) for split in SPLITS}
        held: dict[Split, int] = {
            split: sum(part.size for part in self.parts[split]) for split in SPLITS
        }
        return in_words(counts, held, "bytes")


class FromFiles(SplitFiles):
    """What the two tasks share: files in splits, and evaluations of a fixed size, which are the
    same for every seed.

    Args:
      seed: which stretches are trained on.
      files: as :func:`~seqmodels.tasks.files.finding.find_files` takes it.
      held_out: the share of all bytes that goes to validation, and again to test, where no name
        says a split (:func:`~seqmodels.tasks.files.splits.split_files`, by ``splitting``).
    """

    def __init__(self, seed: int, files: str, held_out: float, evaluation_examples: int):
        require_held_out(held_out)
        require_least(1, evaluation_examples=evaluation_examples)
        self.seed = seed
        self.evaluation_examples = evaluation_examples
        super().__init__(files)

    @cached_property
    def contents(self) -> dict[Split, Files]:
        """Every split's files; read when the first batch is asked for."""
        files: dict[Split, Files] = {}
        for split, read in self.read().items():
            folders = [top_folder(part.name) for part in self.parts[split]]
            _, numbers = np.unique(folders, return_inverse=True)
            sizes = np.array([len(content) for content in read])
            files[split] = Files(np.concatenate(read), np.cumsum(sizes) - sizes, sizes, numbers)
        return files

    def examples(self, split: Split, length: int) -> int | None:
        return None if split == "train" else self.evaluation_examples

    metrics = staticmethod(classification_metrics)


def by_folder(parts: Parts) -> Parts:
    """The same with each split's parts in the order of their top-level folders and names."""
    return {
        split: sorted(of, key=lambda part: (top_folder(part.name), part.name, part.start))
        for split, of in parts.items()
    }


def top_folder(name: str) -> str:
    """The top-level folder of a file's name; "" for a file in none."""
    top, slash, _ = name.partition("/")
    return top if slash else ""
