"""Examples of a task, written once and read back: the identical ones for everybody."""

from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np

from seqmodels.arrays import Array, Float, Int
from seqmodels.config import construct_kind
from seqmodels.errors import ParameterError, require
from seqmodels.json_files import UnreadableError, read_json
from seqmodels.tasks.base import (
    SPLITS,
    TASKS,
    Batch,
    ByRows,
    Metrics,
    Split,
    example_indices,
    require_length,
)
from seqmodels.tasks.prepared.records import Records
from seqmodels.tasks.reading import absolute


class Stored(TypedDict):
    """What was frozen."""

    task: dict[str, Any]
    """The task's section of the config."""
    seed: int
    length: int
    batch_size: NotRequired[int]


class Metadata(TypedDict):
    """``metadata.json`` of a frozen folder."""

    seqmodels: NotRequired[Stored]


class Frozen(ByRows):
    """The examples in a folder that ``seqmodels freeze`` wrote.

    Validation and test are batch for batch those of the task that was frozen, read at the batch
    size at which they were written; training runs through the frozen examples in a new order each
    epoch. Shape, metrics and slices are the task's own: its settings lie in the folder.

    Args:
      seed: the order of the training examples.
      folder: the folder.

    Raises:
      ParameterError: no frozen task lies there, or it can't be opened.
    """

    def __init__(self, seed: int, folder: str):
        self.seed = seed
        self.places = {"folder": absolute(folder, "folder")}
        path, what = Path(self.places["folder"]), f"folder={folder!r}"
        stored = _stored(path, what)
        self.of = _first_frozen(path, stored, what)
        """What was frozen, also where the examples were frozen again."""
        self._records = Records(path, what)
        self.kept_bytes = 0
        self.length = stored["length"]
        self._sizes = self._records.sizes()
        self._task = construct_kind(TASKS, self.of["task"], f"{what}: task", seed=self.of["seed"])
        self.spec = self._task.spec
        for ability in ("fields", "show_source", "show_target", "read_source", "shown_chance"):
            if hasattr(self._task, ability):
                setattr(self, ability, getattr(self._task, ability))

    def reads(self) -> dict[str, Path]:
        return self._records.files()

    def holds(self) -> dict[Split, str]:
        return {split: f"{self._sizes[split]:,} examples" for split in SPLITS}

    def examples(self, split: Split, length: int) -> int:
        return self._sizes[split]

    def rows(
        self, split: Split, step: int, batch_size: int, length: int, rows: Int[np.ndarray, "b"]
    ) -> Batch:
        """Frozen examples, in order in validation and test."""
        require_length(
            self, length, length == self.length, f"its examples have length {self.length}"
        )
        size = self._sizes[split]
        indices, counted = example_indices(size, split, step, batch_size, self.seed)
        names = [name for name in Batch._fields if name in self._records.features]
        values = self._records.values(split, indices[rows].tolist(), names)
        arrays: dict[str, Any] = {}
        for name, column in zip(names, zip(*values, strict=True), strict=True):
            arrays[name] = np.array(column, self._records.features[name].np_dtype)
        batch = Batch(**arrays)
        counted = counted[rows].reshape(-1, *(1,) * (batch.weights.ndim - 1))
        return batch._replace(weights=(batch.weights * counted).astype(np.float32))

    def metrics(self, outputs: Float[Array, "B *P V"], batch: Batch) -> Metrics:
        return self._task.metrics(outputs, batch)

    def chance(self, split: Split, length: int) -> float:
        return self._task.chance(split, length)


def _stored(folder: Path, what: str) -> Stored:
    """What a folder says that was frozen."""
    require(
        (folder / "dataset_info.json").is_file(),
        f"{what} holds no frozen task; write one with: seqmodels freeze",
    )
    try:
        metadata = read_json(folder / "metadata.json", Metadata)
    except UnreadableError as error:
        raise ParameterError(f"{what}: {error}; freeze it again") from None
    if metadata is None or "seqmodels" not in metadata:
        raise ParameterError(
            f"{what} holds a set that seqmodels didn't freeze; read it with the task tfds"
        )
    return metadata["seqmodels"]


def _first_frozen(folder: Path, stored: Stored, what: str) -> Stored:
    """What was frozen first, where a folder's examples are those of another frozen folder."""
    seen = {folder.resolve()}
    while stored["task"].get("kind") == "frozen":
        folder = Path(absolute(str(stored["task"].get("folder")), f"{what}: folder"))
        require(
            folder.resolve() not in seen,
            f"{what} was frozen from {folder}, which was frozen from it; freeze the task itself",
        )
        seen.add(folder.resolve())
        stored = _stored(folder, f"{what}: folder={str(folder)!r}")
    return stored
