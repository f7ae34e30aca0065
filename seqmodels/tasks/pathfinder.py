"""Pathfinder: are two circles joined by a dashed path? An image, pixel by pixel or as a grid."""

from typing import Literal

import numpy as np
from jaxtyping import Complex

from seqmodels.arrays import Float, Int
from seqmodels.errors import require
from seqmodels.tasks.base import (
    Batch,
    GeneratedTask,
    Split,
    TaskSpec,
    require_length,
)
from seqmodels.tasks.pathfinder_paths import (
    LINE,
    SAMPLES,
    Drawing,
    free_room,
    part_path,
    path_body,
    path_points,
    pixels_near,
    place_path,
    take_room,
)

DRAWINGS = {
    32: Drawing(
        6, dash=2, gap=2, margin=5.0, radius=2.0, turn=0.6, distractors=6, spacing=1, shared=1
    ),
    128: Drawing(
        14, dash=5, gap=3, margin=6.0, radius=3.0, turn=0.6, distractors=18, spacing=2, shared=3
    ),
}


class Pathfinder(GeneratedTask):
    """Does a dashed path lead from one circle to the other? Chance is 50%.

    The task of Linsley et al. 2018 and Kim et al. 2020 in the sizes of Long Range Arena (Tay et
    al. 2021): 32×32 = 1,024 or 128×128 = 16,384 pixels, grey values in [0, 1], row after row. An
    image has two long paths of as many dashes each (6 or 14, as the easy and the hard set) and
    shorter ones that distract; none touches another. The circles lie on the two ends of one long
    path (label 1), or on an end of each (label 0).

    For each example a picture of either kind is planned with the same circles and the same dashes
    next to them, and a coin decides which is drawn: where the circles are and how paths leave them
    says nothing. What is left to see without following a path is how ink is spread over all
    of the picture: its sums by row and column give 63% right answers at 32 pixels, by a forest.

    Args:
      seed: which images are drawn.
      side: 32 or 128 pixels.
      layout: "sequence", the pixels row after row, or "grid", their side × side places.
      evaluation_examples: the size of the validation and of the test split.

    >>> batch = Pathfinder(seed=0).batch("train", step=0, batch_size=4, length=1024)
    >>> batch.inputs.shape, batch.targets.tolist()
    ((4, 1024, 1), [0, 1, 0, 1])
    """

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
            shape="many-to-one",
            inputs="features",
            input_size=1,
            outputs=2,
            causal=False,
            score="accuracy",
            higher_is_better=True,
            rank=len(self.axes),
        )

    def draw(
        self, random: np.random.Generator, split: Split, batch_size: int, length: int
    ) -> Batch:
        """Images [B, side * side, 1] or [B, side, side, 1], and labels [B]."""
        pixels = self.side**2
        require_length(length, length == pixels, "pathfinder", f"an image has {pixels} pixels")
        images, labels = draw_images(random, batch_size, self.side)
        return Batch(images.reshape(batch_size, *self.axes, 1), labels, np.ones(batch_size))


def draw_images(
    random: np.random.Generator, rows: int, side: int
) -> tuple[Float[np.ndarray, "B side side"], Int[np.ndarray, "B"]]:
    """Images and labels.

    For each two pictures are planned: a long path from circle to circle and another one; or, from
    the same circles and with the same first dashes at both, two paths that part. Where either does
    not work out both are planned anew; then a coin decides which is drawn.
    """
    drawing = DRAWINGS[side]
    room = free_room(rows, side, drawing)
    paths = np.empty((rows, 2, path_points(drawing, drawing.dashes)), complex)
    circles = np.empty((rows, 2), complex)
    labels = random.integers(0, 2, rows, np.int32)
    left = np.arange(rows)
    while len(left):
        together = free_room(len(left), side, drawing)
        path, found = place_path(random, together, side, drawing, drawing.dashes)
        row, path, together = left[found], path[found], together[found]
        # The first that parts keeps away from the end where the second begins.
        apart = free_room(len(row), side, drawing)
        kept_away, end = apart.copy(), path[:, -path.shape[1] // 3 :: SAMPLES]
        take_room(kept_away, np.arange(len(row)), end, drawing)
        there, found = part_path(random, kept_away, path, drawing)
        take_room(apart, np.flatnonzero(found), path_body(there, drawing, True)[found], drawing)
        back, also = part_path(random, apart, path[:, ::-1], drawing)
        other, too = place_path(random, together, side, drawing, drawing.dashes)
        found &= also & too
        row, joins = row[found], labels[row[found], None] == 1
        room[row] = np.where(joins[..., None], together[found], apart[found])
        paths[row, 0] = np.where(joins, path[found], there[found])
        paths[row, 1] = np.where(joins, other[found], back[found])
        circles[row] = path[found][:, [0, -1]]
        left = np.setdiff1d(left, row)
    every, images = np.arange(rows), np.zeros((rows, side, side), np.float32)
    _dots(images, every, circles, drawing.radius + 0.5)
    for path in (paths[:, 0], paths[:, 1]):
        _dots(images, every, _inked(path, drawing), LINE)
    for _ in range(drawing.distractors):
        short, found = place_path(random, room, side, drawing, drawing.dashes // 3)
        _dots(images, every[found], _inked(short[found], drawing), LINE)
    return images, labels


def _inked(path: Complex[np.ndarray, "B n"], drawing: Drawing) -> Complex[np.ndarray, "B m"]:
    """The points of a path's dashes."""
    period = SAMPLES * (drawing.dash + drawing.gap)
    return path[:, np.arange(path.shape[1]) % period <= SAMPLES * drawing.dash]


def _dots(
    images: Float[np.ndarray, "B L L"],
    rows: Int[np.ndarray, "b"],
    points: Complex[np.ndarray, "b m"],
    reach: float,
) -> None:
    """Draws dots with soft edges: over the last pixel's length of ``reach`` grey falls to 0."""
    flat, apart = pixels_near(images.shape[1], rows, points, reach, padding=0)
    inked = apart < reach
    grey = np.minimum(reach - apart[inked], 1)
    np.maximum.at(images.reshape(-1), flat[inked], grey)
