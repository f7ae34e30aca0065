"""Pairs of texts by their name in tensorflow-datasets: translation, byte by byte."""

import numpy as np

from seqmodels.arrays import AnyArray, Int
from seqmodels.errors import require
from seqmodels.tasks.base import Batch, Split, TaskSpec, exact_match_metrics, require_length, until
from seqmodels.tasks.chance import chance_of_examples
from seqmodels.tasks.prepared.named_rows import (
    STANDS_IN,
    RowsByName,
    described,
    find_feature,
    is_text,
    pad_bytes,
)

END = 256
"""The token that ends a written text; the others are bytes."""


class NamedPairs(RowsByName):
    """Text to text, byte by byte: a translation set of tensorflow-datasets.

    Sources are a text's first L bytes, with a mask; targets the first L + 1 tokens of the bytes
    of the other text and the end token, 256. Splits as in :class:`NamedSet`.

    Args:
      seed: the order of the training rows.
      set: its name: "ted_hrlr_translate/pt_to_en".
      input: the text that is read, such as "pt".
      target: the text that is written, such as "en".
      data_dir: the folder of all sets; None for ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.

    Raises:
      ParameterError: the set isn't there or isn't known, or a feature is no text.
    """

    spec = TaskSpec(
        "sequence-to-sequence",
        "tokens",
        input_size=256,
        outputs=END + 1,
        score="exact_match",
        end=END,
    )

    def __init__(self, seed: int, set: str, input: str, target: str, data_dir: str | None = None):
        super().__init__(seed, set, data_dir, STANDS_IN["pairs"])
        self.input, self.target = input, target
        for argument, name in (("input", input), ("target", target)):
            feature = find_feature(self.records, argument, name)
            require(is_text(feature), f"{argument}={name!r} is no text but {described(feature)}")

    def rows(
        self, split: Split, step: int, batch_size: int, length: int, rows: Int[np.ndarray, "b"]
    ) -> Batch:
        """Sources [B, L] with their mask; targets [B, L + 1], the end token included."""
        require_length(self, length, length >= 1, "a text has at least 1 byte")
        taken = self.take(split, step, batch_size, rows, [self.input, self.target])
        read, written = ([row[side] for row in taken.values] for side in (0, 1))
        inputs, mask = pad_bytes(read, length)
        targets = np.full((len(rows), length + 1), END, np.int32)
        counted = np.zeros((len(rows), length + 1), np.float32)
        for row, text in enumerate(written):
            tokens = np.frombuffer(text[: length + 1], np.uint8)
            targets[row, : len(tokens)] = tokens
            counted[row, : len(text) + 1] = taken.weights[row]
        return Batch(inputs, targets, counted, mask)

    metrics = staticmethod(exact_match_metrics)

    def chance(self, split: Split, length: int) -> float:
        """The share of the text that is written most often."""
        return chance_of_examples(self, split, length)

    def show_source(self, row: Int[AnyArray, "L"]) -> str:
        return bytes(np.asarray(row).tolist()).decode("utf-8", "replace")

    def show_target(self, row: Int[AnyArray, "P"]) -> str:
        return bytes(until(row, END)).decode("utf-8", "replace")

    def read_source(self, text: str) -> Int[np.ndarray, "L"]:
        require(len(text) > 0, "'' holds no byte; write some text")
        return np.frombuffer(text.encode(errors="surrogateescape"), np.uint8).astype(np.int32)
