"""Handwritten digits, as a sequence, a grid or a solid: real data that needs no download."""

import math
from functools import cache, lru_cache
from typing import Any, Literal

import numpy as np

from seqmodels.arrays import Float, Int
from seqmodels.errors import require
from seqmodels.tasks.base import (
    SPLITS,
    Batch,
    Split,
    TaskSpec,
    classification_metrics,
    example_indices,
    generator,
    require_length,
)
from seqmodels.tasks.chance import chance_of_labels

SIDE = 8
SPLIT_SIZES = {"train": 1200, "validation": 297, "test": 300}
SPLIT_SEED = 2026
STEPS_AT_ONCE = 8
"""Training batches made by one call: NumPy's time for a small batch is that of its calls."""
_CENTRED = np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2


class Digits:
    """Which digit is it, from its 8×8 grey values: a sequence of pixels, a grid or a solid?

    The 1,797 images are scikit-learn's copy of the UCI optical digits (43 people;
    Alpaydin and Kaynak 1998). The split into 1,200 / 297 / 300 images is drawn once
    and does not depend on the seed. Inputs are features in [0, 1], row after row.

    Args:
      seed: the order of the training images and how each is distorted.
      shift: the most that a training image is moved along each axis, in pixels.
      rotation: the most that it is turned, in degrees.
      scaling: the most that it is stretched along each axis, as a share of its size.
      layout: "sequence", the pixels row after row; "grid", their 8×8 places; or "solid", 8×8×8
        places that are 1 up to the height of the ink and 0 above.

    >>> batch = Digits(seed=0).batch("train", step=0, batch_size=2, length=64)
    >>> batch.inputs.shape, batch.targets.shape
    ((2, 64, 1), (2,))
    """

    def __init__(
        self,
        seed: int,
        shift: float = 1.0,
        rotation: float = 10.0,
        scaling: float = 0.1,
        layout: Literal["sequence", "grid", "solid"] = "sequence",
    ):
        require(0 <= shift < SIDE, f"shift={shift} is not at least 0 and below {SIDE} pixels")
        require(0 <= rotation <= 180, f"rotation={rotation} is not within 0 and 180 degrees")
        require(0 <= scaling < 1, f"scaling={scaling} is not at least 0 and below 1")
        self.seed = seed
        self.shift = shift
        self.rotation = rotation
        self.scaling = scaling
        self.axes = {"sequence": (SIDE**2,), "grid": (SIDE,) * 2, "solid": (SIDE,) * 3}[layout]
        self.spec = TaskSpec(
            "many-to-one", "features", input_size=1, outputs=10, rank=len(self.axes)
        )

    def examples(self, split: Split, length: int) -> int:
        return SPLIT_SIZES[split]

    def batch(self, split: Split, step: int, batch_size: int, length: int) -> Batch:
        """Images [B, 64, 1], [B, 8, 8, 1] or [B, 8, 8, 8, 1], and their digits [B]."""
        places = math.prod(self.axes)
        require_length(self, length, length == places, f"an image has {places} places")
        if split == "train":
            batches = _training_batches(self, step // STEPS_AT_ONCE, batch_size)
            return batches[step % STEPS_AT_ONCE]
        images, digits = load_images(split)
        indices, weights = example_indices(len(images), split, step, batch_size, self.seed)
        inputs = self._lay_out(images[indices])
        return Batch(inputs, digits[indices], weights)

    metrics = staticmethod(classification_metrics)

    def chance(self, split: Split, length: int) -> float:
        """The share of the digit that is the most frequent in training."""
        return chance_of_labels({part: load_images(part)[1] for part in SPLITS}, split)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B"]]:
        """Which digit an image shows."""
        return {"class": np.asarray(batch.targets)}

    def _lay_out(self, images: Float[np.ndarray, "B 8 8"]) -> Float[np.ndarray, "B *L 1"]:
        """Images as the layout has them."""
        if len(self.axes) == 3:
            heights = (np.arange(SIDE, dtype=np.float32).reshape(1, SIDE, 1, 1) + 0.5) / SIDE
            images = (images[:, None] >= heights).astype(np.float32)
        return images.reshape(len(images), *self.axes, 1)

    def _distort(
        self, images: Float[np.ndarray, "B 8 8"], uniform: Float[np.ndarray, "5 B 1 1"]
    ) -> Float[np.ndarray, "B 8 8"]:
        """Moves, turns and stretches each image by its own amounts, from -1 to 1 of the most."""
        angle = np.float32(np.deg2rad(self.rotation)) * uniform[0]
        stretch_down, stretch_right = 1 + np.float32(self.scaling) * uniform[1:3]
        move_down, move_right = np.float32(self.shift) * uniform[3:5]
        # Where each pixel of the result comes from, measured from the image's centre.
        down, right = _CENTRED[None, :, None] - move_down, _CENTRED[None, None] - move_right
        cos, sin = np.cos(angle), np.sin(angle)
        from_down = (cos * down - sin * right) / stretch_down
        from_right = (sin * down + cos * right) / stretch_right
        return _sample(images, from_down + (SIDE - 1) / 2, from_right + (SIDE - 1) / 2)


@lru_cache(maxsize=2)
def _training_batches(task: Digits, group: int, batch_size: int) -> list[Batch]:
    """The batches of STEPS_AT_ONCE steps; each depends on its step's number alone."""
    images, digits = load_images("train")
    steps = range(group * STEPS_AT_ONCE, (group + 1) * STEPS_AT_ONCE)
    indices, weights = zip(
        *(example_indices(len(images), "train", step, batch_size, task.seed) for step in steps),
        strict=True,
    )
    size = (5, batch_size, 1, 1)
    uniform = [generator(task.seed, "train", step).uniform(-1, 1, size) for step in steps]
    amounts = np.concatenate(uniform, axis=1).astype(np.float32)
    distorted = task._distort(images[np.concatenate(indices)], amounts)
    inputs = task._lay_out(distorted)
    inputs.setflags(write=False)  # batches are views of it
    inputs = inputs.reshape(STEPS_AT_ONCE, batch_size, *inputs.shape[1:])
    return [Batch(*arrays) for arrays in zip(inputs, digits[list(indices)], weights, strict=True)]


@cache
def load_images(split: Split) -> tuple[Float[np.ndarray, "n 8 8"], Int[np.ndarray, "n"]]:
    """A split's images, in [0, 1], and their digits; for whoever draws on the same split."""
    from sklearn.datasets import load_digits  # here, because its import takes a second

    data: Any = load_digits()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(data.target))
    starts = np.cumsum([0, *SPLIT_SIZES.values()])
    part = list(SPLIT_SIZES).index(split)
    chosen = order[starts[part] : starts[part + 1]]
    images = (data.images[chosen] / 16).astype(np.float32)
    return images, data.target[chosen].astype(np.int32)


def _sample(
    images: Float[np.ndarray, "B 8 8"],
    rows: Float[np.ndarray, "B 8 8"],
    columns: Float[np.ndarray, "B 8 8"],
) -> Float[np.ndarray, "B 8 8"]:
    """Each image's value between its pixels (bilinear), 0 outside it."""
    padded = np.zeros((len(images), SIDE + 2, SIDE + 2), np.float32)
    padded[:, 1:-1, 1:-1] = images
    edge = np.float32(SIDE + 1)
    rows, columns = np.clip(rows + 1, 0, edge), np.clip(columns + 1, 0, edge)
    top, left = (np.minimum(x.astype(np.intp), SIDE) for x in (rows, columns))
    below, beside = rows - top, columns - left
    # Flat, because one index a pixel is looked up several times as fast as three.
    corner = (np.arange(len(images))[:, None, None] * (SIDE + 2) + top) * (SIDE + 2) + left
    values = [padded.take(corner + step) for step in (0, 1, SIDE + 2, SIDE + 3)]
    above = values[0] + (values[1] - values[0]) * beside
    under = values[2] + (values[3] - values[2]) * beside
    return (above + (under - above) * below).astype(np.float32)
