"""Pathfinder's pictures against a reader of pictures, and what must not give the answer away."""

import numpy as np
import pytest

from seqmodels.tasks import Pathfinder
from seqmodels.tasks.generated.pathfinder import DRAWINGS
from seqmodels.tasks.generated.pathfinder_paths import lay_out
from tests.tasks.pictures import find_circles, flooded, joined, reached


def pictures(side: int, rows: int, step: int = 0):
    """Images [n, side, side] and labels of a training batch."""
    task = Pathfinder(seed=0, side=side, layout="grid")
    batch = task.batch("train", step, rows, side**2)
    return batch.inputs[..., 0], batch.targets


@pytest.fixture(scope="module")
def small():
    """300 images of side 32, and their labels."""
    return pictures(32, rows=300)


def test_labels_are_what_pictures_show(small):
    images, labels = small
    np.testing.assert_array_equal(joined(images), labels)
    assert (images >= 0).all()
    assert (images <= 1).all()
    assert abs(labels.mean() - 0.5) < 0.12  # 4 standard deviations


def test_labels_are_what_large_pictures_show():
    images, labels = pictures(128, rows=24)
    np.testing.assert_array_equal(joined(images), labels)


def test_no_flood_comes_from_circle_to_circle(small):
    """Whatever counts as ink: between two dashes some pixels have none, over corners too."""
    images, _ = small
    circles = find_circles(images)
    for threshold in (0, 0.3, 0.7):
        assert not flooded(images > threshold, circles).any()


def test_a_coin_moves_two_dashes_and_nothing_else(monkeypatch):
    """Most of a picture is the same for both labels; what differs lies at the crossing."""
    from seqmodels.tasks.generated import pathfinder

    drawing, planned = DRAWINGS[32], []
    lay_out = pathfinder.lay_out
    monkeypatch.setattr(
        pathfinder, "lay_out", lambda *args: planned.append(lay_out(*args)) or planned[0]
    )
    images, labels = pathfinder.draw_images(np.random.default_rng(0), 40, 32)
    monkeypatch.setattr(pathfinder, "lay_out", lambda *args: planned[0])
    again, others = pathfinder.draw_images(np.random.default_rng(1), 40, 32)
    assert ((images == again).all(axis=(1, 2)) == (labels == others)).all()
    row, down, right = (images != again).nonzero()
    middle = planned[0].crossing.mean(axis=(1, 2))[row]
    assert len(row) > 0
    assert (abs(down + 1j * right - middle) < drawing.margin / 2 + 2.5).all()


def test_a_dash_left_out_parts_the_circles(small):
    """The reader does follow the path: where a joined picture is wiped it says so."""
    images, labels = small
    images = images[labels == 1][:60].copy()
    for image, (begin, end) in zip(images, find_circles(images), strict=True):
        line = reached(image[None], begin[None])[0]
        far = [
            np.hypot(*(np.indices(image.shape) - place[:, None, None])) for place in (begin, end)
        ]
        image[line & (far[0] > 3) & (far[1] > 3)] = 0
    assert not joined(images).any()


def test_a_grid_is_the_sequence_in_rows():
    grid = Pathfinder(seed=0, layout="grid").batch("test", 0, 3, 1024)
    sequence = Pathfinder(seed=0).batch("test", 0, 3, 1024)
    assert grid.inputs.shape == (3, 32, 32, 1)
    np.testing.assert_array_equal(grid.inputs.reshape(3, 1024, 1), sequence.inputs)


@pytest.mark.parametrize(("side", "rows"), [(32, 150), (128, 12)])
def test_circles_lie_where_distances_tell_the_least(side, rows):
    """Each way's dashes lie nearly as far from a circle as the other's: rings of ink are alike."""
    planned = lay_out(np.random.default_rng(0), rows, side, DRAWINGS[side])
    ends, dashes = planned.arms[..., -1], planned.crossing.mean(axis=2)
    told = np.zeros((rows, 4))
    for arm, dash in [(arm, dash) for arm in range(4) for dash in (0, 1)]:
        pairs = [abs(ends[:, arm] - dashes[:, place]) for place in range(4)]
        low, high = ((np.minimum, np.maximum)[dash](pairs[way], pairs[way + 2]) for way in (0, 1))
        told[:, arm] += abs(low - high)
    circles = told + np.roll(told, -1, axis=1)
    np.testing.assert_allclose(circles[:, 0], circles.min(axis=1), rtol=1e-5)
    assert np.median(circles[:, 0]) < 0.8 * np.median(circles)
