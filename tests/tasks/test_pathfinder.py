"""Pathfinder's pictures against a reader of pictures, and what must not give the answer away."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from seqmodels.tasks import Pathfinder

GAPS = {32: 2, 128: 3}


def pictures(side: int, rows: int, steps: int = 1):
    """Images [n, side, side] and labels of some training batches."""
    task = Pathfinder(seed=0, side=side, layout="grid")
    with ThreadPoolExecutor(2) as threads:
        batches = list(
            threads.map(lambda step: task.batch("train", step, rows, side**2), range(steps))
        )
    images = np.concatenate([batch.inputs[..., 0] for batch in batches])
    return images, np.concatenate([batch.targets for batch in batches])


def shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Images moved by some pixels, with zeros behind."""
    reach = max(abs(down), abs(right), 1)
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach)))
    height, width = images.shape[1:]
    return padded[:, reach - down :, reach - right :][:, :height, :width]


def find_circles(images: np.ndarray) -> np.ndarray:
    """Where the circles are [n, 2, 2]: only there 3×3 pixels are nearly white. There are two."""
    boxes = sum(shifted(images, down, right) for down in (-1, 0, 1) for right in (-1, 0, 1))
    rows, side = np.arange(len(images)), images.shape[1]
    found = []
    for expected in (True, True, False):
        place = boxes.reshape(len(images), -1).argmax(axis=1)
        down, right = place // side, place % side
        assert ((boxes[rows, down, right] > 6.5) == expected).all()
        found.append(np.stack([down, right], axis=1))
        away = np.hypot(
            np.arange(side)[:, None] - down[:, None, None],
            np.arange(side) - right[:, None, None],
        )
        boxes = np.where(away < side**0.5, 0, boxes)
    return np.stack(found[:2], axis=1)


def reached(images: np.ndarray, starts: np.ndarray, leap: float) -> np.ndarray:
    """The inked pixels to which one can leap from a start, over other inked ones: [n, L, L]."""
    reach, (height, width) = int(leap), images.shape[1:]
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    near = down**2 + right**2 <= leap**2
    steps = down[near] * (width + 2 * reach) + right[near]
    inside = (slice(None), slice(reach, reach + height), slice(reach, reach + width))
    left = np.pad(images > 0.5, ((0, 0), (reach, reach), (reach, reach)))
    ink, here = left[inside].copy(), np.arange(left.size).reshape(left.shape)[inside]
    here = here[np.arange(len(images)), starts[:, 0], starts[:, 1]]
    while len(here):
        left.reshape(-1)[here] = False
        around = np.add.outer(here, steps).ravel()
        here = np.unique(around[left.reshape(-1)[around]])
    return ink & ~left[inside]


def joined(images: np.ndarray) -> np.ndarray:
    """Whether one can go from circle to circle by leaps over a gap: [n]."""
    side = images.shape[1]
    circles = find_circles(images)
    # A pixel is inked within 0.75 of a line, so the gap's ends are up to sqrt(2) further apart.
    here = reached(images, circles[:, 0], GAPS[side] + 2**0.5)
    return here[np.arange(len(images)), circles[:, 1, 0], circles[:, 1, 1]]


class Small(NamedTuple):
    """Pictures of side 32 [n, 32, 32], their labels, and where their circles are [n, 2, 2]."""

    images: np.ndarray
    labels: np.ndarray
    circles: np.ndarray


def small_pictures(rows: int) -> Small:
    """So many, of batches of 500."""
    images, labels = pictures(32, rows=500, steps=rows // 500)
    circles = [find_circles(images[i : i + 500]) for i in range(0, rows, 500)]
    return Small(images, labels, np.concatenate(circles))


@pytest.fixture(scope="module")
def small() -> Small:
    """1,500; soak/soak_pathfinder.py has 10,000."""
    return small_pictures(1500)


def shares_right(features: np.ndarray, labels: np.ndarray) -> float:
    """How many labels of one half a boosted forest tells from the features, fitted on the other."""
    half = len(labels) // 2
    forest = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, random_state=0)
    return forest.fit(features[:half], labels[:half]).score(features[half:], labels[half:])


def check_labels(small: Small) -> None:
    """Labels are what the pictures show, and half of them are true: within 4 deviations."""
    images, labels, _ = small
    shown = [joined(images[i : i + 500]) for i in range(0, len(images), 500)]
    np.testing.assert_array_equal(np.concatenate(shown), labels)
    assert abs(labels.mean() - 0.5) < 2 * len(labels) ** -0.5


@pytest.mark.slow
def test_labels_are_what_1500_pictures_show(small):
    check_labels(small)


@pytest.mark.slow
def test_labels_are_what_large_pictures_show():
    images, labels = pictures(128, rows=40)
    np.testing.assert_array_equal(joined(images), labels)
    assert 10 < labels.sum() < 30


def test_labels_are_what_a_few_pictures_show():
    images, labels = pictures(32, rows=100)
    np.testing.assert_array_equal(joined(images), labels)
    assert (images >= 0).all()
    assert (images <= 1).all()


def test_a_dash_left_out_parts_the_circles():
    """The reader does follow the path: where a joined picture is wiped it says so."""
    images, labels = pictures(32, rows=100)
    images = images[labels == 1].copy()
    for image, (begin, end) in zip(images, find_circles(images), strict=True):
        line = reached(image[None], begin[None], GAPS[32] + 2**0.5)[0]
        far = [
            np.hypot(*(np.indices(image.shape) - place[:, None, None])) for place in (begin, end)
        ]
        image[line & (far[0] > 6) & (far[1] > 5)] = 0
    assert not joined(images).any()


def check_that_nothing_about_the_circles_tells(small: Small) -> None:
    """Neither where they are, nor the ink near them or in all, gives more than a few per cent."""
    images, labels, circles = small
    places = circles.astype(float)
    apart = np.hypot(*(places[:, 0] - places[:, 1]).T)
    from_middle = np.sort(np.hypot(*(places - 15.5).transpose(2, 0, 1)), axis=1)
    assert shares_right(np.column_stack([places.reshape(-1, 4), apart, from_middle]), labels) < 0.53
    for numbers in (apart, *from_middle.T):
        joined_mean, parted_mean = numbers[labels == 1].mean(), numbers[labels == 0].mean()
        assert abs(joined_mean - parted_mean) < 4 * 2 * numbers.std() / len(labels) ** 0.5
    padded = np.pad(images, ((0, 0), (3, 3), (3, 3)))
    rows, near = np.arange(len(images)), np.arange(7)
    patches = [
        padded[
            rows[:, None, None],
            circles[:, i, 0, None, None] + near[:, None],
            circles[:, i, 1, None, None] + near,
        ].reshape(len(images), -1)
        for i in (0, 1)
    ]
    assert shares_right(np.column_stack([*patches, apart]), labels) < 0.54
    assert shares_right(images.sum(axis=(1, 2))[:, None], labels) < 0.54


@pytest.mark.slow
def test_what_lies_about_the_circles_does_not_tell(small):
    check_that_nothing_about_the_circles_tells(small)


def test_a_grid_is_the_sequence_in_rows():
    grid = Pathfinder(seed=0, layout="grid").batch("test", 0, 3, 1024)
    sequence = Pathfinder(seed=0).batch("test", 0, 3, 1024)
    assert grid.inputs.shape == (3, 32, 32, 1)
    np.testing.assert_array_equal(grid.inputs.reshape(3, 1024, 1), sequence.inputs)
