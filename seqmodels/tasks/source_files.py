"""Local files for tasks on stretches of them: read once, in splits, those of a folder together."""

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from seqmodels.arrays import Array, Float, Int
from seqmodels.errors import require
from seqmodels.tasks.base import Batch, Metrics, Split, classification_metrics
from seqmodels.tasks.files import find_files, read_files, require_held_out


class Files(NamedTuple):
    """Files one after another, those of a top-level folder together."""

    bytes: UInt8[np.ndarray, "n"]
    starts: Int[np.ndarray, "files"]
    sizes: Int[np.ndarray, "files"]
    folders: Int[np.ndarray, "files"]
    """The number of each file's top-level folder, which never falls."""


class FromFiles:
    """What the two tasks share: files in splits, and evaluations of a fixed size."""

    parts: dict[Split, list[str]]

    def __init__(self, seed: int, files: str, held_out: float, evaluation_examples: int):
        require_held_out(held_out)
        require(
            evaluation_examples >= 1, f"evaluation_examples={evaluation_examples} is not at least 1"
        )
        self.seed = seed
        self.evaluation_examples = evaluation_examples
        self.paths = find_files(files)
        self.sizes = {name: path.stat().st_size for name, path in self.paths.items()}

    @cached_property
    def contents(self) -> dict[Split, Files]:
        """Every split's files; read when the first batch is asked for."""
        return _read(self.paths, self.parts)

    def examples(self, split: Split, length: int) -> int | None:
        """Endless in training, ``evaluation_examples`` in each other split."""
        del length
        return None if split == "train" else self.evaluation_examples

    def metrics(self, outputs: Float[Array, "B V"], batch: Batch) -> Metrics:
        """Cross-entropy and accuracy."""
        return classification_metrics(outputs, batch)


def top_folder(name: str) -> str:
    """The top-level folder of a file's name; "" for a file in none."""
    top, slash, _ = name.partition("/")
    return top if slash else ""


def _read(paths: dict[str, Path], parts: dict[Split, list[str]]) -> dict[Split, Files]:
    contents = read_files({name: paths[name] for names in parts.values() for name in names})
    files = {}
    for split, names in parts.items():
        names = sorted(names, key=lambda name: (top_folder(name), name))
        sizes = np.array([len(contents[name]) for name in names])
        _, folders = np.unique([top_folder(name) for name in names], return_inverse=True)
        everything = np.concatenate([contents[name] for name in names])
        files[split] = Files(everything, np.cumsum(sizes) - sizes, sizes, folders)
    return files
