"""Readers of Pathfinder's pictures, which know nothing of how they are drawn."""

import numpy as np

LEAP = 3.7
"""Pixels of a path's dashes lie within this of the next ones', and of no other path's."""


def shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Images moved by some pixels, with zeros behind."""
    reach = max(abs(down), abs(right), 1)
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach)))
    height, width = images.shape[1:]
    return padded[:, reach - down :, reach - right :][:, :height, :width]


def find_circles(images: np.ndarray) -> np.ndarray:
    """Where the circles are [n, 2, 2]: only there most of 3×3 pixels is white. There are two."""
    boxes = sum(shifted(images, down, right) for down in (-1, 0, 1) for right in (-1, 0, 1))
    rows, side = np.arange(len(images)), images.shape[1]
    white, found = 4 if side == 32 else 8, []
    for expected in (True, True, False):
        place = boxes.reshape(len(images), -1).argmax(axis=1)
        down, right = place // side, place % side
        assert ((boxes[rows, down, right] > white) == expected).all()
        found.append(np.stack([down, right], axis=1))
        away = np.hypot(
            np.arange(side)[:, None] - down[:, None, None],
            np.arange(side) - right[:, None, None],
        )
        boxes = np.where(away < 6, 0, boxes)
    return np.stack(found[:2], axis=1)


def reached(images: np.ndarray, starts: np.ndarray, leap: float = LEAP) -> np.ndarray:
    """The inked pixels to which one can leap from a start, over other inked ones: [n, L, L]."""
    reach, (height, width) = int(leap), images.shape[1:]
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    near = down**2 + right**2 <= leap**2
    steps = down[near] * (width + 2 * reach) + right[near]
    inside = (slice(None), slice(reach, reach + height), slice(reach, reach + width))
    left = np.pad(images > 0, ((0, 0), (reach, reach), (reach, reach)))
    ink, here = left[inside].copy(), np.arange(left.size).reshape(left.shape)[inside]
    here = here[np.arange(len(images)), starts[:, 0], starts[:, 1]]
    while len(here):
        left.reshape(-1)[here] = False
        around = np.add.outer(here, steps).ravel()
        here = np.unique(around[left.reshape(-1)[around]])
    return ink & ~left[inside]


def flooded(ink: np.ndarray, circles: np.ndarray) -> np.ndarray:
    """Whether a flood of pixels that touch, over corners too, comes from circle to circle: [n]."""
    here = reached(ink, circles[:, 0], leap=2**0.5)
    return here[np.arange(len(ink)), circles[:, 1, 0], circles[:, 1, 1]]


def joined(images: np.ndarray) -> np.ndarray:
    """Whether one can go from circle to circle by leaps over a gap: [n]."""
    circles = find_circles(images)
    here = reached(images, circles[:, 0])
    return here[np.arange(len(images)), circles[:, 1, 0], circles[:, 1, 1]]
