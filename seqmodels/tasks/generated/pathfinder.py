"""Pathfinder: are two circles joined by a dashed path? An image, pixel by pixel or as a grid."""

from typing import Literal

import numpy as np
from jaxtyping import Complex
from numpy.random import Generator

from seqmodels.arrays import Float, Int
from seqmodels.errors import require
from seqmodels.tasks.base import Batch, Split, TaskSpec, require_length
from seqmodels.tasks.generated.pathfinder_paths import Drawing, lay_out, pixels_near
from seqmodels.tasks.generated.task import GeneratedTask

DRAWINGS = {
    32: Drawing(
        dashes=6, dash=1, gap=3, reach=0.75, margin=5.0, radius=1.75, turn=0.8,
        distractors=5, distractor_dashes=2, spacing=1, ways=8, compared=2, tries=4,
    ),
    128: Drawing(
        dashes=14, dash=4, gap=4, reach=1.25, margin=6.5, radius=3.5, turn=0.6,
        distractors=12, distractor_dashes=4, spacing=2, ways=16, compared=1, tries=2,
    ),
}  # fmt: skip
SAMPLES = 2
"""Points in a pixel's length that a line is drawn through."""
SOFT = 0.5
"""Over so many pixels ink falls to 0 at an edge."""


class Pathfinder(GeneratedTask):
    """Does a dashed path lead from one circle to the other?

    The task of Linsley et al. 2018 and Kim et al. 2020 in the sizes of Long Range Arena (Tay et
    al. 2021): 32×32 = 1,024 or 128×128 = 16,384 pixels, grey values in [0, 1], row after row. An
    image has two long paths of as many dashes each (6 or 14, as the easy and the hard set) and
    shorter ones that distract. Between two dashes lie pixels without ink; two paths lie further
    apart than a path's dashes. The circles lie on the two ends of one long path (label 1), or
    on an end of each (label 0).

    The long paths come near each other at a crossing, from which four arms lead. Two dashes at
    opposite sides of it join the arms, in one of two ways, and a coin decides which is drawn: all
    of the picture but these two dashes is the same for either label, and each dash lies as far from
    a circle in one way as in the other, but for how arms lean: the circles lie where that tells
    the least. So distances and counts say nothing, and ink around circles next to nothing; but at
    32 pixels, where arms are short, a picture turned by its circles shows which way the dashes
    lie (docs/tasks.md has the shares).

    Args:
      side: 32 or 128 pixels.
      layout: "sequence", the pixels row after row, or "grid", their side × side places.

    >>> batch = Pathfinder(seed=0).batch("train", step=0, batch_size=4, length=1024)
    >>> batch.inputs.shape, batch.targets.tolist()
    ((4, 1024, 1), [1, 0, 1, 1])
    """

    answers = 2

    def __init__(
        self,
        seed: int,
        side: int = 32,
        layout: Literal["sequence", "grid"] = "sequence",
        evaluation_examples: int = 2000,
    ):
        require(side in DRAWINGS, f"side={side} is not {' or '.join(map(str, DRAWINGS))} pixels")
        super().__init__(seed, evaluation_examples)
        self.side = side
        self.axes = {"sequence": (side**2,), "grid": (side, side)}[layout]
        self.spec = TaskSpec(
            "many-to-one", "features", input_size=1, outputs=2, rank=len(self.axes)
        )

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Images [B, side * side, 1] or [B, side, side, 1], and labels [B]."""
        pixels = self.side**2
        require_length(self, length, length == pixels, f"an image has {pixels} pixels")
        images, labels = draw_images(random, batch_size, self.side)
        return Batch(images.reshape(batch_size, *self.axes, 1), labels, np.ones(batch_size))


def draw_images(
    random: Generator, rows: int, side: int
) -> tuple[Float[np.ndarray, "B side side"], Int[np.ndarray, "B"]]:
    """Images and labels."""
    drawing = DRAWINGS[side]
    planned = lay_out(random, rows, side, drawing)
    labels = random.integers(0, 2, rows, np.int32)
    every, images = np.arange(rows), np.zeros((rows, side, side), np.float32)
    _dots(images, every, planned.arms[:, :2, -1], drawing.radius)
    # Sides 0 and 2 join arms 0 with 1 and 2 with 3; sides 1 and 3 join 1 with 2 and 3 with 0.
    for opposite in (0, 2):
        joint = planned.crossing[every, 1 - labels + opposite]
        _dots(images, every, _line(joint, drawing.dash), drawing.reach)
    for arm in range(4):
        _dots(images, every, _dashes(planned.arms[:, arm], drawing), drawing.reach)
    for having, path in planned.distractors:
        _dots(images, having, _dashes(path, drawing), drawing.reach)
    return images, labels


def _dashes(path: Complex[np.ndarray, "B n"], drawing: Drawing) -> Complex[np.ndarray, "B m"]:
    """Points in a row on the dashes of paths."""
    fine = _line(path, drawing.spacing)
    period = SAMPLES * drawing.period
    return fine[:, np.arange(fine.shape[1]) % period <= SAMPLES * drawing.dash]


def _line(points: Complex[np.ndarray, "B n"], apart: int) -> Complex[np.ndarray, "B m"]:
    """Points with others between them."""
    parts = np.arange(SAMPLES * apart) / (SAMPLES * apart)
    between = points[:, :-1, None] + np.diff(points)[..., None] * parts
    return np.concatenate(
        [between.reshape(len(points), between.shape[1] * between.shape[2]), points[:, -1:]], axis=1
    )


def _dots(
    images: Float[np.ndarray, "B L L"],
    rows: Int[np.ndarray, "b"],
    points: Complex[np.ndarray, "b m"],
    reach: float,
) -> None:
    """Draws dots with soft edges."""
    flat, apart = pixels_near(images.shape[1], rows, points, reach, padding=0)
    inked = apart < reach
    grey = np.minimum((reach - apart[inked]) / SOFT, 1)
    np.maximum.at(images.reshape(-1), flat[inked], grey)
