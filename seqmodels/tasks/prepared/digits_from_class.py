"""One-to-many: draw a digit, pixel by pixel, from its name alone."""

import numpy as np

from seqmodels.arrays import AnyArray, Array, Float, Int
from seqmodels.errors import require
from seqmodels.tasks.base import (
    Batch,
    Metrics,
    Split,
    TaskSpec,
    bits_metrics,
    example_indices,
    require_length,
)
from seqmodels.tasks.chance import chance_of_examples
from seqmodels.tasks.prepared.digits import SIDE, SPLIT_SIZES, load_images

GREYS = 17
"""The images' grey values: 0 to 16."""
SHADES = " ..::--==++**##%@"
"""A character for each."""


class DigitsFromClass:
    """Write the 64 grey values of an image of a digit, row after row, given which digit.

    The images and their split are those of the task ``digits``, not distorted. The score is
    bits per pixel.

    Args:
      seed: the order of the training images.

    >>> batch = DigitsFromClass(seed=0).batch("test", step=0, batch_size=2, length=64)
    >>> batch.inputs.shape, batch.targets.shape, int(batch.targets.max())
    ((2,), (2, 64), 16)
    """

    spec = TaskSpec(
        "one-to-many",
        "tokens",
        input_size=10,
        outputs=GREYS,
        causal=True,
        score="bits_per_pixel",
        higher_is_better=False,
    )

    def __init__(self, seed: int):
        self.seed = seed

    def examples(self, split: Split, length: int) -> int:
        return SPLIT_SIZES[split]

    def batch(self, split: Split, step: int, batch_size: int, length: int) -> Batch:
        """Digits [B] and the grey values of their images [B, 64]."""
        require_length(self, length, length == SIDE**2, f"an image has {SIDE**2} pixels")
        images, digits = load_images(split)
        indices, weights = example_indices(len(images), split, step, batch_size, self.seed)
        greys = np.rint(images[indices] * (GREYS - 1)).astype(np.int32)
        targets = greys.reshape(batch_size, length)
        return Batch(digits[indices], targets, np.repeat(weights[:, None], length, axis=1))

    def show_source(self, row: Int[AnyArray, ""]) -> str:
        return str(int(row))

    def show_target(self, row: Int[AnyArray, "P"]) -> str:
        """The image, a line a row, from light to dark."""
        greys = np.asarray(row).reshape(-1, SIDE)
        return "\n".join("".join(SHADES[grey] * 2 for grey in line) for line in greys)

    def read_source(self, text: str) -> Int[np.ndarray, ""]:
        require(text in "0123456789" and len(text) == 1, f"{text!r} is no digit from 0 to 9")
        return np.array(int(text), np.int32)

    def metrics(self, outputs: Float[Array, "B P V"], batch: Batch) -> Metrics:
        return bits_metrics(outputs, batch, "bits_per_pixel")

    def chance(self, split: Split, length: int) -> float:
        """Bits per pixel by how often each has each grey value."""
        return chance_of_examples(self, split, length)
