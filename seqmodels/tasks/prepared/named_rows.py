"""The rows of a tensorflow-datasets set by split, and what tasks on them share."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqmodels.arrays import Bool, Float, Int
from seqmodels.errors import nearest, require
from seqmodels.tasks.base import SPLITS, ByRows, Split, example_indices
from seqmodels.tasks.prepared.records import Records, data_folder, find_set

ONE_IN = 20
"""One row in so many of train is held out for each of validation and test that a set lacks."""
STANDS_IN = {
    "bytes": "Offline, the task source_package stands in for it: bytes to a class",
    "audio": "No offline task has audio; digits is the shortest real sequence of numbers",
    "pairs": "Offline, the tasks dates and reverse stand in for it: text to text",
    "image": "Offline, the task digits stands in for it: images to a class",
}
"""Which task can be used where a set isn't there, by what the set holds."""


class Taken(NamedTuple):
    """Rows of a set that make up a batch."""

    values: list[tuple[Any, ...]]
    """Of each row its features, in the order in which they were asked for."""
    source: str
    """The split in the set that they were read from."""
    places: list[int]
    """Where they lie in it."""
    weights: Float[np.ndarray, "b"]


class RowsByName(ByRows):
    """A set's rows by split; a split that the set lacks is held out of train by index.

    Of every 20 rows of train the last goes to validation and the last but one to test, where
    those are held out, whatever the seed. So no row is in two splits.

    Raises:
      ParameterError: the set isn't there, its name isn't known, or it has no train split.
    """

    def __init__(self, seed: int, name: str, data_dir: str | None, stands_in: str):
        self.seed = seed
        self.places = {"data_dir": str(data_folder(data_dir))}
        self.kept_bytes = 0
        self.records = Records(find_set(name, data_dir, stands_in), f"set={name!r}")
        self.sizes = self.records.sizes()
        names = ", ".join(self.sizes)
        require("train" in self.sizes, f"set={name!r} has no split train; it has {names}")
        self.held_out = [split for split in ("validation", "test") if split not in self.sizes]
        for split in self.sizes.keys() | set(self.held_out):
            count = self.sizes[split] if split not in ("train", *self.held_out) else None
            count = self._count(split) if count is None else count
            require(count > 0, f"set={name!r} has too few rows for split {split}: {self.sizes}")

    def reads(self) -> dict[str, Path]:
        return self.records.files()

    def holds(self) -> dict[Split, str]:
        return {split: f"{self._count(split):,} rows" for split in SPLITS}

    def examples(self, split: Split, length: int) -> int:
        return self._count(split)

    def _count(self, split: str) -> int:
        if split in self.sizes and split != "train":
            return self.sizes[split]
        blocks, rest = divmod(self.sizes["train"], ONE_IN)
        kept = ONE_IN - len(self.held_out)
        return blocks if split in self.held_out else kept * blocks + min(rest, kept)

    def take(
        self, split: Split, step: int, batch_size: int, rows: Int[np.ndarray, "b"], names: list[str]
    ) -> Taken:
        """What some rows of a batch have in some features."""
        size = self._count(split)
        indices, weights = example_indices(size, split, step, batch_size, self.seed)
        indices, source = indices[rows], "train" if split in self.held_out else split
        if split in self.held_out:
            indices = indices * ONE_IN + ONE_IN - 1 - self.held_out.index(split)
        elif split == "train":
            blocks, place = np.divmod(indices, ONE_IN - len(self.held_out))
            indices = blocks * ONE_IN + place
        places = indices.tolist()
        return Taken(self.records.values(source, places, names), source, places, weights[rows])


def pad_bytes(
    texts: list[bytes], length: int
) -> tuple[Int[np.ndarray, "B L"], Bool[np.ndarray, "B L"]]:
    """Each text's first bytes, and where they are; an empty text is one byte 0.

    >>> pad_bytes([b"abcd", b"a"], length=3)[0].tolist()
    [[97, 98, 99], [97, 0, 0]]
    """
    inputs = np.zeros((len(texts), length), np.int32)
    mask = np.zeros((len(texts), length), bool)
    for row, text in enumerate(texts):
        cut = np.frombuffer(text[:length] or b"\0", np.uint8)
        inputs[row, : len(cut)], mask[row, : len(cut)] = cut, True
    return inputs, mask


def find_feature(records: Records, argument: str, name: str) -> Any:
    """A feature by its path, or an error that says which there are."""
    feature: Any = records.features
    for part in name.split("/"):
        known = list(feature.keys()) if hasattr(feature, "keys") else []
        require(
            part in known,
            f"{argument}={name!r} is no feature of {records.what}; {nearest(part, known)}",
        )
        feature = feature[part]
    return feature


def is_text(feature: Any) -> bool:
    return tuple(feature.shape) == () and feature.np_dtype in (object, np.str_, np.bytes_)


def described(feature: Any) -> str:
    return " ".join(repr(feature).split())
