"""Data sets by their name in tensorflow-datasets: the class of an image, a text or a sound."""

import math
from typing import Literal

import numpy as np

from seqmodels.arrays import Bool, Float, Int
from seqmodels.errors import require
from seqmodels.tasks.base import Batch, Split, TaskSpec, classification_metrics, require_length
from seqmodels.tasks.chance import DRAWS, chance_of_labels
from seqmodels.tasks.prepared.named_rows import (
    STANDS_IN,
    RowsByName,
    Taken,
    described,
    find_feature,
    is_text,
    pad_bytes,
)

Layout = Literal["sequence", "permuted", "grid", "bytes", "audio"]
PERMUTATION_SEED = 2026


class NamedSet(RowsByName):
    """What is it: the class of an image, a text or a sound of a tensorflow-datasets set.

    The set must have been prepared as ArrayRecord files; nothing is downloaded here, and only
    the rows of a batch are read. Inputs by layout, for images H×W with C channels:

    - "sequence": features in [0, 1], [B, H*W, C], row after row;
    - "permuted": the same, the pixels in one fixed random order (Le et al. 2015,
      arXiv 1504.00941), which doesn't depend on the seed;
    - "grid": the same in their places, [B, H, W, C];
    - "bytes": a text's first bytes [B, L], with a mask over what a shorter one leaves;
    - "audio": the first L samples of a wave in [-1, 1], [B, L, 1], masked in the same way.

    A split that the set lacks is held out of train: of 20 rows the last is for validation, the
    last but one for test.

    Args:
      seed: the order of the training rows.
      set: its name: "mnist", "imdb_reviews/plain_text", "mnist:3.0.1".
      input: the feature that is read, such as "image"; of a nested one "steps/image".
      target: the feature that is the class, such as "label".
      layout: how the input is laid out.
      data_dir: the folder of all sets; None for ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.

    Raises:
      ParameterError: the set isn't there or isn't known, or a feature doesn't suit.
    """

    def __init__(
        self,
        seed: int,
        set: str,
        input: str,
        target: str,
        layout: Layout,
        data_dir: str | None = None,
    ):
        super().__init__(seed, set, data_dir, STANDS_IN.get(layout, STANDS_IN["image"]))
        self.input, self.target, self.layout = input, target, layout
        feature = find_feature(self.records, "input", input)
        label = find_feature(self.records, "target", target)
        classes: int = getattr(label, "num_classes", None) or 0
        require(classes > 0, f"target={target!r} is no class but {described(label)}")
        self.shape: tuple[int, ...] = tuple(feature.shape)
        channels, rank, tokens = 1, 1, layout == "bytes"
        if layout == "bytes":
            require(is_text(feature), f"input={input!r} is no text but {described(feature)}")
        elif layout == "audio":
            wave = self.shape == (None,)
            require(wave, f"input={input!r} is no mono sound but {described(feature)}")
        else:
            image = len(self.shape) == 3 and None not in self.shape
            require(image, f"input={input!r} is no image of one size but {described(feature)}")
            channels, rank = self.shape[2], 2 if layout == "grid" else 1
        self.spec = TaskSpec(
            "many-to-one",
            "tokens" if tokens else "features",
            input_size=256 if tokens else channels,
            outputs=classes,
            rank=rank,
        )

    def rows(
        self, split: Split, step: int, batch_size: int, length: int, rows: Int[np.ndarray, "b"]
    ) -> Batch:
        """Inputs as the layout has them, and their classes [B]."""
        if self.layout in ("bytes", "audio"):
            require_length(self, length, length >= 1, "a sequence has at least 1 position")
        else:
            pixels = math.prod(self.shape[:2])
            require_length(self, length, length == pixels, f"an image has {pixels} pixels")
        taken = self.take(split, step, batch_size, rows, [self.input, self.target])
        values = [value for value, _ in taken.values]
        targets = np.array([int(label) for _, label in taken.values], np.int32)
        for label, place in zip(targets.tolist(), taken.places, strict=True):
            if not 0 <= label < self.spec.outputs:
                raise self.records.broken(taken.source, place, f"its class is {label}")
        if self.layout == "bytes":
            inputs, mask = pad_bytes(values, length)
        elif self.layout == "audio":
            inputs, mask = _pad_waves(values, length)
        else:
            inputs, mask = self._lay_out(values, taken), None
        return Batch(inputs, targets, taken.weights, mask)

    metrics = staticmethod(classification_metrics)

    def chance(self, split: Split, length: int) -> float:
        """The share of the class that is the most frequent in training."""
        return chance_of_labels({part: self._labels(part) for part in ("train", split)}, split)

    def _labels(self, split: Split) -> Int[np.ndarray, "n"]:
        """The classes of some rows from all over a split; nothing else of them is read."""
        held = self.examples(split, 0)
        rows = np.unique(np.linspace(0, held - 1, DRAWS).astype(int))
        labels = [int(label) for (label,) in self.take(split, 0, held, rows, [self.target]).values]
        return np.array([label for label in labels if 0 <= label < self.spec.outputs], np.int32)

    def _lay_out(self, images: list[np.ndarray], taken: Taken) -> Float[np.ndarray, "B *L C"]:
        for image, index in zip(images, taken.places, strict=True):
            if image.shape != self.shape:
                raise self.records.broken(taken.source, index, f"its image is {image.shape}")
        pixels = np.stack(images)
        if np.issubdtype(pixels.dtype, np.integer):
            pixels = pixels / np.float32(np.iinfo(pixels.dtype).max)
        pixels = pixels.astype(np.float32)
        if self.layout == "grid":
            return pixels
        pixels = pixels.reshape(len(images), -1, self.shape[2])
        if self.layout == "permuted":
            order = np.random.default_rng(PERMUTATION_SEED).permutation(pixels.shape[1])
            pixels = pixels[:, order]
        return pixels


def _pad_waves(
    waves: list[np.ndarray], length: int
) -> tuple[Float[np.ndarray, "B L 1"], Bool[np.ndarray, "B L"]]:
    """Each wave's first samples and where they are; integers are 16-bit samples, over 2**15."""
    inputs = np.zeros((len(waves), length, 1), np.float32)
    mask = np.zeros((len(waves), length), bool)
    for row, wave in enumerate(waves):
        cut = wave[:length] if len(wave) else np.zeros(1, np.float32)
        scale = 2**15 if np.issubdtype(cut.dtype, np.integer) else 1
        inputs[row, : len(cut), 0], mask[row, : len(cut)] = cut / np.float32(scale), True
    return np.clip(inputs, -1, 1), mask
