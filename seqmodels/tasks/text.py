"""Language modelling on the bytes of local text files."""

import glob
import hashlib
import math
import os
import sysconfig
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from seqmodels.arrays import Array, Float, Int
from seqmodels.errors import ConfigError, ParameterError, require
from seqmodels.tasks.base import (
    Batch,
    Metrics,
    Split,
    TaskSpec,
    classification_metrics,
    example_indices,
    generator,
    require_length,
)

HELD_OUT = 0.05
"""The share of all bytes that goes to validation, and again to test."""


class Text:
    """Predict the next byte of text; scored in bits per byte.

    Each file belongs to one split, chosen by a hash of its name, so that no file is
    both trained on and tested on. Training windows start anywhere in the training
    files. Evaluation windows lie evenly spread over the split and start without
    context, so that a longer length also means a better-informed score.

    Args:
      seed: which windows are trained on.
      files: a glob of text files (``**`` crosses folders), or ``"stdlib"`` for the
        Python standard library's own source without its tests.
      evaluation_windows: at most how many windows an evaluation reads.

    >>> batch = Text(seed=0).batch("train", step=0, batch_size=2, length=16)
    >>> bool((batch.inputs[:, 1:] == batch.targets[:, :-1]).all())
    True
    """

    spec = TaskSpec(
        shape="many-to-many",
        inputs="tokens",
        input_size=256,
        outputs=256,
        causal=True,
        score="bits_per_byte",
        higher_is_better=False,
    )

    def __init__(self, seed: int, files: str = "stdlib", evaluation_windows: int = 256):
        require(
            evaluation_windows >= 1, f"evaluation_windows={evaluation_windows} is not at least 1"
        )
        self.seed = seed
        self.evaluation_windows = evaluation_windows
        self.paths = _stdlib_files() if files == "stdlib" else _matching_files(files)

    @cached_property
    def bytes(self) -> dict[Split, UInt8[np.ndarray, "n"]]:
        """Every split's files, one after another, as bytes."""
        contents: dict[str, UInt8[np.ndarray, "n"]] = {}
        for name, path in self.paths.items():
            try:
                contents[name] = np.fromfile(path, np.uint8)
            except OSError as error:
                raise ConfigError(f"task.files: can't read {path}: {error.strerror}") from None
        in_order = sorted(contents, key=lambda name: hashlib.sha256(name.encode()).digest())
        held_out = HELD_OUT * sum(len(c) for c in contents.values())
        parts: dict[Split, list] = {"test": [], "validation": [], "train": []}
        for split in ("test", "validation"):
            others = 2 if split == "test" else 1  # at least one file stays for each later split
            while len(in_order) > others and sum(map(len, parts[split])) < held_out:
                parts[split].append(contents[in_order.pop(0)])
        parts["train"] = [contents[name] for name in in_order]
        return {split: np.concatenate(part) for split, part in parts.items()}

    def examples(self, split: Split, length: int) -> int | None:
        """The number of evaluation windows; training windows are endless."""
        if split == "train":
            return None
        return max(1, min(self.evaluation_windows, (len(self.bytes[split]) - 1) // length))

    def batch(self, split: Split, step: int, batch_size: int, length: int) -> Batch:
        """Bytes [B, L] and, at each position, the byte that follows [B, L]."""
        return self.rows(split, step, batch_size, length, np.arange(batch_size))

    def rows(
        self, split: Split, step: int, batch_size: int, length: int, rows: Int[np.ndarray, "b"]
    ) -> Batch:
        """Some rows of a batch; no other window is read."""
        data = self.bytes[split]
        require_length(length, length >= 1, "text", "a window has at least 1 byte")
        require_length(
            length, len(data) > length, "text", f"the {split} files hold {len(data)} bytes"
        )
        if split == "train":
            random = generator(self.seed, split, step)
            starts = random.integers(0, len(data) - length, size=batch_size)
            weights = np.ones(batch_size, np.float32)
        else:
            windows = self.examples(split, length)
            assert windows is not None
            indices, weights = example_indices(windows, split, step, batch_size, self.seed)
            starts = indices * ((len(data) - 1 - length) // max(1, windows - 1))
        window = data[starts[rows, None] + np.arange(length + 1)].astype(np.int32)
        weights = np.repeat(weights[rows, None], length, axis=1)
        return Batch(window[:, :-1], window[:, 1:], weights)

    def metrics(self, outputs: Float[Array, "B L V"], batch: Batch) -> Metrics:
        """Cross-entropy in nats, the same in bits per byte, and accuracy."""
        metrics = classification_metrics(outputs, batch)
        total, count = metrics["loss"]
        return metrics | {"bits_per_byte": (total / math.log(2), count)}


def _stdlib_files() -> dict[str, Path]:
    root = Path(sysconfig.get_path("stdlib"))
    left_out = {"site-packages", "dist-packages", "test", "tests", "__pycache__"}
    return {
        path.relative_to(root).as_posix(): path
        for path in root.rglob("*.py")
        if not left_out & set(path.relative_to(root).parts) and path.stat().st_size > 0
    }


def _matching_files(pattern: str) -> dict[str, Path]:
    found = [Path(p) for p in glob.glob(os.path.expanduser(pattern), recursive=True)]
    files = [path for path in found if path.is_file() and path.stat().st_size > 0]
    if len(files) < 3:
        what = f"{len(files)} non-empty files" if files else "nothing"
        raise ParameterError(
            f"files={pattern!r} matches {what}; at least 3 files are needed, one for each split; "
            "write a glob such as 'notes/**/*.txt', or 'stdlib'"
        )
    root = os.path.commonpath([path.resolve().parent for path in files])
    return {path.resolve().relative_to(root).as_posix(): path for path in files}
