"""Language modelling on the bytes of local text files."""

from functools import cached_property

import numpy as np
from jaxtyping import UInt8

from seqmodels.arrays import AnyArray, Array, Float, Int
from seqmodels.errors import require_least
from seqmodels.tasks.base import (
    Batch,
    Metrics,
    Split,
    TaskSpec,
    bits_metrics,
    example_indices,
    generator,
    require_length,
)
from seqmodels.tasks.chance import chance_of_examples
from seqmodels.tasks.files.finding import STDLIB
from seqmodels.tasks.files.source_files import SplitFiles
from seqmodels.tasks.files.splits import Splitting

HELD_OUT = 0.05
"""The share of all bytes that goes to validation, and again to test."""


class Text(SplitFiles):
    """Predict the next byte of text; scored in bits per byte.

    No byte is both trained on and tested on: files whose names say a split are in it, others are
    whole in one by a hash of their names, and large ones are cut where that alone gives each split
    its share (:func:`~seqmodels.tasks.files.splits.split_files`). Training windows start anywhere
    in the training text. Evaluation windows lie evenly spread over the split and start without
    context, so that a longer length also means a better-informed score.

    Args:
      seed: which windows are trained on.
      files: as :func:`~seqmodels.tasks.files.finding.find_files` takes it.
      evaluation_windows: at most how many windows an evaluation reads.

    Raises:
      ParameterError: no such file, or a split of them would be far off its share.

    >>> batch = Text(seed=0).batch("train", step=0, batch_size=2, length=16)
    >>> bool((batch.inputs[:, 1:] == batch.targets[:, :-1]).all())
    True
    """

    spec = TaskSpec(
        "many-to-many",
        "tokens",
        input_size=256,
        outputs=256,
        causal=True,
        score="bits_per_byte",
        higher_is_better=False,
    )

    def __init__(
        self,
        seed: int,
        files: str = STDLIB,
        evaluation_windows: int = 256,
        splitting: Splitting = "shares",
    ):
        require_least(1, evaluation_windows=evaluation_windows)
        self.seed = seed
        self.evaluation_windows = evaluation_windows
        super().__init__(files)
        self.parts = self.split(self.sizes, HELD_OUT, splitting)

    @cached_property
    def bytes(self) -> dict[Split, UInt8[np.ndarray, "n"]]:
        """Every split's text, one file after another."""
        return {split: np.concatenate(read) for split, read in self.read().items()}

    def examples(self, split: Split, length: int) -> int | None:
        """The number of evaluation windows; training windows are endless."""
        if split == "train":
            return None
        return max(1, min(self.evaluation_windows, (len(self.bytes[split]) - 1) // length))

    def rows(
        self, split: Split, step: int, batch_size: int, length: int, rows: Int[np.ndarray, "b"]
    ) -> Batch:
        """Bytes [B, L] and, at each position, the byte that follows [B, L]."""
        data = self.bytes[split]
        require_length(self, length, length >= 1, "a window has at least 1 byte")
        require_length(
            self, length, len(data) > length, f"the {split} files hold {len(data)} bytes"
        )
        if split == "train":
            random = generator(self.seed, split, step)
            starts = random.integers(0, len(data) - length, size=batch_size)
            weights = np.ones(batch_size, np.float32)
        else:
            windows = self.examples(split, length)
            assert windows is not None
            indices, weights = example_indices(windows, split, step, batch_size, self.seed)
            starts = spread(indices, windows, len(data), length)
        window = data[starts[rows, None] + np.arange(length + 1)].astype(np.int32)
        weights = np.repeat(weights[rows, None], length, axis=1)
        return Batch(window[:, :-1], window[:, 1:], weights)

    def read_text(self, text: str) -> Int[np.ndarray, "L"]:
        """Its bytes, whatever they are of; a line's end of none, since something must be read."""
        encoded = text.encode(errors="surrogateescape") or b"\n"
        return np.frombuffer(encoded, np.uint8).astype(np.int32)

    def show_text(self, row: Int[AnyArray, "L"]) -> str:
        """Bytes as text."""
        return bytes(np.asarray(row).tolist()).decode(errors="replace")

    def metrics(self, outputs: Float[Array, "B L V"], batch: Batch) -> Metrics:
        return bits_metrics(outputs, batch, "bits_per_byte")

    def chance(self, split: Split, length: int) -> float:
        """Bits per byte by how often each byte comes."""
        return chance_of_examples(self, split, length)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B L"]]:
        """Where in its window a byte is, from 0: how many bytes of context stand before it."""
        return {"position": np.tile(np.arange(batch.targets.shape[1]), (len(batch.targets), 1))}


def spread(
    indices: Int[np.ndarray, "B"], windows: int, size: int, length: int
) -> Int[np.ndarray, "B"]:
    """Where windows of length + 1 begin that lie evenly spread over ``size`` tokens.

    >>> spread(np.arange(3), windows=3, size=102, length=10)
    array([ 0, 45, 90])
    """
    return indices * ((size - 1 - length) // max(1, windows - 1))
