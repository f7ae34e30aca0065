"""Classification and retrieval on the bytes of local files: real, long, and on every machine.

The two follow Text and Retrieval of the Long Range Arena (Tay et al. 2021), on text that needs no
download.
"""

from collections import defaultdict
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from seqmodels.arrays import Array, Bool, Float, Int
from seqmodels.errors import ParameterError, require
from seqmodels.tasks.base import (
    Batch,
    Metrics,
    Split,
    TaskSpec,
    classification_metrics,
    example_indices,
    example_weights,
    generator,
    require_length,
)
from seqmodels.tasks.files import find_files, read_files, require_held_out, split_files


class _Files(NamedTuple):
    """Files one after another, those of a top-level folder together."""

    bytes: UInt8[np.ndarray, "n"]
    starts: Int[np.ndarray, "files"]
    sizes: Int[np.ndarray, "files"]
    folders: Int[np.ndarray, "files"]
    """The number of each file's top-level folder, which never falls."""


class _FromFiles:
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
    def contents(self) -> dict[Split, _Files]:
        """Every split's files; read when the first batch is asked for."""
        return _read(self.paths, self.parts)

    def examples(self, split: Split, length: int) -> int | None:
        """Endless in training, ``evaluation_examples`` in each other split."""
        del length
        return None if split == "train" else self.evaluation_examples

    def metrics(self, outputs: Float[Array, "B V"], batch: Batch) -> Metrics:
        """Cross-entropy and accuracy."""
        return classification_metrics(outputs, batch)


class SourcePackage(_FromFiles):
    """Which top-level folder does a stretch of a file come from? Of source: which package.

    Inputs are bytes, V = 256, from a file of the split: ``length`` of them from anywhere in a
    longer file, or a shorter file whole and padded. Every class is as likely as any other, so
    chance is 1 / classes (in evaluation they come in turn); within a class every place is.
    Validation and test are the same for every seed.

    Args:
      seed: which stretches are trained on.
      files: a folder, a glob of files, or ``"stdlib"`` for the Python standard library's own
        source without its tests, whose folders are its packages.
      classes: how many folders there are to tell apart: those that hold the most bytes, of all
        with at least 3 files.
      held_out: the share of each folder's bytes that goes to validation, and again to test;
        each file belongs to one split, chosen by a hash of its name.
      evaluation_examples: the size of the validation and of the test split.

    >>> task = SourcePackage(seed=0, classes=4)
    >>> batch = task.batch("train", step=0, batch_size=2, length=16)
    >>> batch.inputs.shape, batch.mask.shape
    ((2, 16), (2, 16))
    >>> folders = {name.split("/")[0] for name in task.parts["train"]}
    >>> folders == set(task.packages)
    True
    """

    def __init__(
        self,
        seed: int,
        files: str = "stdlib",
        classes: int = 10,
        held_out: float = 0.1,
        evaluation_examples: int = 1000,
    ):
        require(classes >= 2, f"classes={classes} is not at least 2")
        super().__init__(seed, files, held_out, evaluation_examples)
        sizes: dict[str, dict[str, int]] = defaultdict(dict)
        for name, size in self.sizes.items():
            sizes[_folder(name)][name] = size
        large = [folder for folder in sizes if folder and len(sizes[folder]) >= 3]
        large.sort(key=lambda folder: (-sum(sizes[folder].values()), folder))
        if len(large) < classes:
            raise ParameterError(
                f"classes={classes} but files={files!r} has {len(large)} top-level folders of at "
                f"least 3 files, one for each split ({', '.join(large) or 'none'}); lower classes"
            )
        self.packages = tuple(sorted(large[:classes]))
        self.parts = {"train": [], "validation": [], "test": []}
        for package in self.packages:
            for split, names in split_files(sizes[package], held_out).items():
                self.parts[split] += names
        self.spec = TaskSpec(
            shape="many-to-one",
            inputs="tokens",
            input_size=256,
            outputs=classes,
            causal=False,
            score="accuracy",
            higher_is_better=True,
        )

    def batch(self, split: Split, step: int, batch_size: int, length: int) -> Batch:
        """Bytes [B, L], padded with 0, and the number of each one's folder [B]."""
        files = self.contents[split]
        require_length(length, length >= 1, "source_package", "a stretch has at least 1 byte")
        longest = int(files.sizes.max())
        why = f"the longest file of {split} has {longest} bytes"
        require_length(length, length <= longest, "source_package", why)
        classes = len(self.packages)
        if split == "train":
            random = generator(self.seed, split, step, length)
            packages = random.integers(classes, size=batch_size)
            places = random.random(batch_size)
        else:
            drawn = generator(0, split, length).random(self.evaluation_examples)
            indices, _ = example_indices(len(drawn), split, step, batch_size, self.seed)
            packages, places = indices % classes, drawn[indices]
        inputs, mask = _stretches(files, packages, places, length)
        weights = example_weights(self.evaluation_examples, split, step, batch_size)
        return Batch(inputs, packages.astype(np.int32), weights, mask)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B"]]:
        """The number of each example's package, in the order of ``packages``."""
        return {"package": np.asarray(batch.targets)}


class SameFile(_FromFiles):
    """Do two stretches come from one file? Half of them do: chance is 50%.

    The inputs are bytes of a first stretch, the token 256 and bytes of a second, V = 257: of
    L - 1 bytes the first has half, rounded down. Two stretches of one file never overlap. Two of
    different files come from one top-level folder, so that its subject and style alone do not
    tell; files that are alone in their folder are paired with one another.

    Nothing tells the answer but the two together: whatever it is, each stretch's file is any file
    of its folder with the same probability, folders are drawn by their numbers of files, and the
    places of the two in their files are drawn by one rule, as if both were from either file.
    Validation and test are the same for every seed.

    Args:
      seed: which stretches are trained on.
      files: a folder, a glob of files, or ``"stdlib"`` for the Python standard library's own
        source without its tests. Only files of at least L - 1 bytes take part.
      held_out: the share of all bytes that goes to validation, and again to test; each file
        belongs to one split, chosen by a hash of its name.
      evaluation_examples: the size of the validation and of the test split.

    >>> batch = SameFile(seed=0).batch("train", step=0, batch_size=2, length=16)
    >>> batch.inputs.shape, batch.inputs[:, 7].tolist()
    ((2, 16), [256, 256])
    """

    spec = TaskSpec(
        shape="many-to-one",
        inputs="tokens",
        input_size=257,
        outputs=2,
        causal=False,
        score="accuracy",
        higher_is_better=True,
    )
    separator = 256

    def __init__(
        self,
        seed: int,
        files: str = "stdlib",
        held_out: float = 0.1,
        evaluation_examples: int = 1000,
    ):
        super().__init__(seed, files, held_out, evaluation_examples)
        self.parts = split_files(self.sizes, held_out)

    def batch(self, split: Split, step: int, batch_size: int, length: int) -> Batch:
        """Two stretches and a separator [B, L], and whether one file holds both [B]."""
        why = "it holds two stretches of at least 1 byte and a separator"
        require_length(length, length >= 3, "same_file", why)
        files = self.contents[split]
        firsts, counts, members = _partners(files, length - 1)
        why = f"{split} has no 2 files of at least {length - 1} bytes to tell apart"
        require_length(length, len(members) > 0, "same_file", why)
        if split == "train":
            uniform = generator(self.seed, split, step, length).random((6, batch_size))
            same = (uniform[5] < 0.5).astype(np.int32)
        else:
            drawn = generator(0, split, length).random((6, self.evaluation_examples))
            indices, _ = example_indices(drawn.shape[1], split, step, batch_size, self.seed)
            uniform, same = drawn[:, indices], (indices % 2).astype(np.int32)
        one = (uniform[0] * len(members)).astype(np.int64)
        ahead = 1 + (uniform[1] * (counts[one] - 1)).astype(np.int64)
        another = firsts[one] + (one - firsts[one] + ahead) % counts[one]
        other = np.where(same, one, another)
        first_length = (length - 1) // 2
        lengths = (first_length, length - 1 - first_length)
        inputs = np.full((batch_size, length), self.separator, np.int32)
        begin, _ = _two_places(files, members[one], lengths, uniform[2:5])
        inputs[:, :first_length] = files.bytes[begin[:, None] + np.arange(lengths[0])]
        _, begin = _two_places(files, members[other], lengths, uniform[2:5])
        inputs[:, first_length + 1 :] = files.bytes[begin[:, None] + np.arange(lengths[1])]
        weights = example_weights(self.evaluation_examples, split, step, batch_size)
        return Batch(inputs, same, weights)


def _folder(name: str) -> str:
    """The top-level folder of a file's name; "" for a file in none."""
    top, slash, _ = name.partition("/")
    return top if slash else ""


def _read(paths: dict[str, Path], parts: dict[Split, list[str]]) -> dict[Split, _Files]:
    contents = read_files({name: paths[name] for names in parts.values() for name in names})
    files = {}
    for split, names in parts.items():
        names = sorted(names, key=lambda name: (_folder(name), name))
        sizes = np.array([len(contents[name]) for name in names])
        _, folders = np.unique([_folder(name) for name in names], return_inverse=True)
        everything = np.concatenate([contents[name] for name in names])
        files[split] = _Files(everything, np.cumsum(sizes) - sizes, sizes, folders)
    return files


def _stretches(
    files: _Files, folders: Int[np.ndarray, "B"], uniform: Float[np.ndarray, "B"], length: int
) -> tuple[Int[np.ndarray, "B L"], Bool[np.ndarray, "B L"]]:
    """From each example's folder the stretch at a share of all that it has, and its mask."""
    possible = np.maximum(1, files.sizes - length + 1)
    ends = np.cumsum(possible)
    edges = np.searchsorted(files.folders, np.arange(files.folders[-1] + 2))
    before = np.concatenate([[0], ends])[edges]  # of the stretches of earlier folders
    drawn = before[folders] + (uniform * np.diff(before)[folders]).astype(np.int64)
    chosen = np.searchsorted(ends, drawn, side="right")
    begin = files.starts[chosen] + drawn - (ends - possible)[chosen]
    steps = np.arange(length)
    mask = steps < files.sizes[chosen, None]
    places = np.minimum(begin[:, None] + steps, len(files.bytes) - 1)
    return np.where(mask, files.bytes[places], 0).astype(np.int32), mask


def _partners(
    files: _Files, shortest: int
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """The files of at least so many bytes, in groups of 2 or more to be told apart.

    Returns:
      For each, where its group begins and how large it is; and its number among all files.
    """
    long = np.flatnonzero(files.sizes >= shortest)
    folders = files.folders[long]
    counts = np.bincount(folders, minlength=1)[folders]
    # Those alone in their folder make a group, after all others.
    folders = np.where(counts == 1, folders.max(initial=0) + 1, folders)
    order = np.argsort(folders, kind="stable")
    _, firsts, groups, counts = np.unique(
        folders[order], return_index=True, return_inverse=True, return_counts=True
    )
    firsts, counts, members = firsts[groups], counts[groups], long[order]
    kept = counts >= 2  # it lacks at most the last
    return firsts[kept], counts[kept], members[kept]


def _two_places(
    files: _Files,
    chosen: Int[np.ndarray, "B"],
    lengths: tuple[int, int],
    uniform: Float[np.ndarray, "3 B"],
) -> tuple[Int[np.ndarray, "B"], Int[np.ndarray, "B"]]:
    """Where two stretches begin that do not overlap in a file; either may be the earlier."""
    free = files.sizes[chosen] - sum(lengths)
    low, high = np.sort((uniform[:2] * (free + 1)).astype(np.int64), axis=0)
    begin, swapped = files.starts[chosen], uniform[2] < 0.5
    first = np.where(swapped, high + lengths[1], low)
    second = np.where(swapped, low, high + lengths[0])
    return begin + first, begin + second
