"""Writes examples of a task as a tensorflow-datasets set that needs no code of ours to be read."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seqmodels.config import Section, construct_kind, to_dict
from seqmodels.errors import ParameterError, UserError, nearest
from seqmodels.paths import local_path
from seqmodels.plain_names import PlainName
from seqmodels.tasks import TASKS
from seqmodels.tasks.base import SPLITS, Batch, Split, Task
from seqmodels.tasks.prepared.frozen import Frozen, Metadata, Stored
from seqmodels.tasks.prepared.records import import_tfds

EXAMPLES_A_FILE = 10_000


def freeze(
    config: Section,
    out: str | Path,
    length: int | None,
    examples: dict[str, int],
    report: Callable[[str, int, int], None],
) -> None:
    """Freezes the first examples of each split of a config's task, into a new folder.

    Examples are drawn at the config's batch size, from step 0 on. They are written to a folder
    beside ``out``, read back, and only then given its name, so that a crash or a full disk
    leaves nothing to be read. One feature a field of :class:`Batch`; ``metadata.json`` has the
    task's settings. Anybody reads it with
    ``tfds.builder_from_directory(out).as_data_source("train")``.

    Args:
      config: whose ``task``, ``seed`` and ``train.batch_size`` are used.
      length: the length of the sequences; None for the config's ``train.length``.
      examples: how many of each split; what is left out is frozen whole.
      report: told of progress: the split, how many are written, of how many.

    Raises:
      UserError: the folder exists or can't be written, or the task has not so many examples.
    """
    out = local_path(out, "out=")
    if out.exists():
        raise UserError(f"out={out} exists; choose a new folder, or delete it first")
    plain = to_dict(config)
    task: Task = construct_kind(TASKS, plain["task"], "task", seed=plain["seed"])
    batch_size = plain["train"]["batch_size"]
    length = plain["train"]["length"] if length is None else length
    assert length is not None
    try:
        first = task.batch("train", 0, batch_size, length)
        counts: dict[Split, int] = {
            split: _count(task, split, length, examples) for split in SPLITS
        }
    except ParameterError as error:
        raise UserError(f"--{error}") from None
    of = task.of if isinstance(task, Frozen) else plain
    stored = Stored(task=of["task"], seed=of["seed"], length=length, batch_size=batch_size)
    partial = out.with_name(f".{out.name}.incomplete-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        name = PlainName(partial)
        writer = _Writer(name.path, plain["task"]["kind"], first, stored)
        for split, count in counts.items():
            written = 0
            for batch in _batches(task, split, count, batch_size, length):
                writer.add(split, batch)
                written += len(batch.inputs)
                report(split, written, count)
        writer.close(counts)
        partial.rename(out)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise UserError(f"out={out} can't be written ({reason}); nothing is left of it") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_examples(text: list[str]) -> dict[str, int]:
    """How many examples of each split, from ``["train=100", "test=10"]``.

    >>> read_examples(["train=100", "test=10"])
    {'train': 100, 'test': 10}
    """
    counts = {}
    for part in text:
        split, _, number = part.partition("=")
        if split not in SPLITS:
            raise UserError(f"examples={part!r}: {split!r} is no split; {nearest(split, SPLITS)}")
        if not re.fullmatch("[1-9][0-9]{0,17}", number):
            raise UserError(f"examples={part!r}: write {split}=NUMBER, of at least 1")
        counts[split] = int(number)
    return counts


def _count(task: Task, split: Split, length: int, examples: dict[str, int]) -> int:
    held = task.examples(split, length)
    wanted = examples.get(split, held)
    if wanted is None:
        raise UserError(f"examples={split}=NUMBER is missing: {split} is endless")
    if split != "train" and held is not None and wanted > held:
        raise UserError(f"examples={split}={wanted} is more than the {held} that the task has")
    return wanted


def _batches(task: Task, split: Split, count: int, batch_size: int, length: int) -> Iterator[Batch]:
    """The first examples of a split, in batches of which the last may be smaller."""
    for step in range(-(-count // batch_size)):
        batch = task.batch(split, step, batch_size, length)
        kept = min(batch_size, count - step * batch_size)
        fields: Any = (None if field is None else field[:kept] for field in batch)
        yield Batch(*fields)


class _Writer:
    """A tensorflow-datasets set in a folder, written example by example."""

    def __init__(self, folder: Path, kind: str, example: Batch, stored: Stored):
        self.tfds = import_tfds("freeze")
        self.folder = folder
        arrays = {name: field for name, field in example._asdict().items() if field is not None}
        features = {
            name: self.tfds.features.Tensor(shape=array.shape[1:], dtype=array.dtype.type)
            for name, array in arrays.items()
        }
        core = self.tfds.core
        self.info = core.DatasetInfo(
            builder=core.DatasetIdentity(
                name=f"frozen_{kind}",
                version=core.Version("1.0.0"),
                data_dir=str(folder),
                module_name="seqmodels",
            ),
            description=f"Examples of the task {kind} of seqmodels, in the order of its batches.",
            features=self.tfds.features.FeaturesDict(features),
            disable_shuffling=True,
            metadata=core.MetadataDict(Metadata(seqmodels=stored)),
        )
        self.info.write_to_directory(folder)
        self.writer = core.SequentialWriter(self.info, EXAMPLES_A_FILE, file_format="array_record")
        self.writer.initialize_splits(list(SPLITS))

    def add(self, split: Split, batch: Batch) -> None:
        fields = {name: array for name, array in batch._asdict().items() if array is not None}
        rows = [
            {name: np.asarray(array[row]) for name, array in fields.items()}
            for row in range(len(batch.inputs))
        ]
        try:
            self.writer.add_examples({split: rows})
        except RuntimeError as error:  # what the C++ writer raises where Python's would an OSError
            raise OSError(str(error)) from None

    def close(self, counts: dict[Split, int]) -> None:
        """Ends the files, and reads the last example of each split back."""
        try:
            self.writer.close_splits(list(SPLITS))
            sources = self.tfds.builder_from_directory(self.folder).as_data_source()
            for split, count in counts.items():
                if len(sources[split]) != count:
                    raise OSError(f"{len(sources[split])} of {count} {split} examples were kept")
                sources[split][count - 1]
        except (RuntimeError, ValueError, KeyError) as error:
            raise OSError(str(error)) from None
