"""Classification of the bytes of local files: real, long, and on every machine.

After Text of the Long Range Arena (Tay et al. 2021), on text that needs no download.
"""

from collections import defaultdict

import numpy as np

from seqmodels.arrays import Bool, Float, Int
from seqmodels.errors import ParameterError, require_least
from seqmodels.tasks.base import (
    Batch,
    Split,
    TaskSpec,
    example_indices,
    example_weights,
    generator,
    require_length,
)
from seqmodels.tasks.files.finding import STDLIB
from seqmodels.tasks.files.source_files import Files, FromFiles, by_folder, top_folder
from seqmodels.tasks.files.splits import Parts, Splitting, require_classes


class SourcePackage(FromFiles):
    """Which top-level folder does a stretch of a file come from? Of source: which package.

    Inputs are bytes, V = 256, from a file of the split: ``length`` of them from anywhere in a
    longer file, or a shorter file whole and padded. Every class is as likely as any other (in
    evaluation they come in turn), and within a class every place. Each folder is split by itself.

    Args:
      classes: how many folders there are to tell apart: those that hold the most bytes, of all
        with at least 3 files. Other settings as in :class:`FromFiles`.

    >>> task = SourcePackage(seed=0, classes=4)
    >>> batch = task.batch("train", step=0, batch_size=2, length=16)
    >>> batch.inputs.shape, batch.mask.shape
    ((2, 16), (2, 16))
    >>> folders = {part.name.split("/")[0] for part in task.parts["train"]}
    >>> folders == set(task.packages)
    True
    """

    def __init__(
        self,
        seed: int,
        files: str = STDLIB,
        classes: int = 10,
        held_out: float = 0.1,
        evaluation_examples: int = 1000,
        splitting: Splitting = "shares",
    ):
        require_least(2, classes=classes)
        super().__init__(seed, files, held_out, evaluation_examples)
        sizes: dict[str, dict[str, int]] = defaultdict(dict)
        for name, size in self.sizes.items():
            sizes[top_folder(name)][name] = size
        large = [folder for folder in sizes if folder and len(sizes[folder]) >= 3]
        large.sort(key=lambda folder: (-sum(sizes[folder].values()), folder))
        if len(large) < classes:
            raise ParameterError(
                f"classes={classes} but files={files!r} has {len(large)} top-level folders of at "
                f"least 3 files, one for each split ({', '.join(large) or 'none'}); lower classes"
            )
        self.packages = tuple(sorted(large[:classes]))
        require_classes(self.packages, f"files={files!r}")
        parts: Parts = {"train": [], "validation": [], "test": []}
        for package in self.packages:
            for split, of in self.split(sizes[package], held_out, splitting).items():
                parts[split] += of
        self.parts = by_folder(parts)
        self.spec = TaskSpec("many-to-one", "tokens", input_size=256, outputs=classes)

    def rows(
        self, split: Split, step: int, batch_size: int, length: int, rows: Int[np.ndarray, "b"]
    ) -> Batch:
        """Bytes [B, L], padded with 0, and the number of each one's folder [B]."""
        files = self.contents[split]
        require_length(self, length, length >= 1, "a stretch has at least 1 byte")
        longest = int(files.sizes.max())
        why = f"the longest file of {split} has {longest} bytes"
        require_length(self, length, length <= longest, why)
        classes = len(self.packages)
        if split == "train":
            random = generator(self.seed, split, step, length)
            packages = random.integers(classes, size=batch_size)
            places = random.random(batch_size)
        else:
            drawn = generator(0, split, length).random(self.evaluation_examples)
            indices, _ = example_indices(len(drawn), split, step, batch_size, self.seed)
            packages, places = indices % classes, drawn[indices]
        packages = packages[rows].astype(np.int32)
        inputs, mask = _stretches(files, packages, places[rows], length)
        weights = example_weights(self.evaluation_examples, split, step, batch_size)
        return Batch(inputs, packages, weights[rows], mask)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B"]]:
        """The number of each example's package, in the order of ``packages``."""
        return {"package": np.asarray(batch.targets)}

    def chance(self, split: Split, length: int) -> float:
        """1 / classes: all are as likely."""
        return 1 / len(self.packages)


def _stretches(
    files: Files, folders: Int[np.ndarray, "B"], uniform: Float[np.ndarray, "B"], length: int
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
