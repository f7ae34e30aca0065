"""The digits are the real ones, and training distorts them as it says."""

from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits

from seqmodels.tasks.base import SPLITS
from seqmodels.tasks.prepared.digits import Digits


def unchanged_digits(**changes):
    """Digits that are distorted in no way but those given."""
    return Digits(seed=0, **({"shift": 0.0, "rotation": 0.0, "scaling": 0.0} | changes))


def rows_as_bytes(images):
    return Counter(image.tobytes() for image in images)


def digits_of(split):
    task = unchanged_digits()
    return task.batch(split, 0, task.examples(split, 64), 64)


@pytest.mark.slow
def test_digits_are_the_real_ones_each_in_one_split():
    data = load_digits()
    real = (data.data / 16).astype(np.float32).reshape(-1, 64, 1)
    splits = [digits_of(split) for split in SPLITS]
    assert [len(batch.inputs) for batch in splits] == [1200, 297, 300]
    assert rows_as_bytes(np.concatenate([batch.inputs for batch in splits])) == rows_as_bytes(real)
    digit_of = {image.tobytes(): digit for image, digit in zip(real, data.target, strict=True)}
    assert len(digit_of) == len(real), "no image occurs twice, so the splits are disjoint"
    for batch in splits:
        assert [digit_of[image.tobytes()] for image in batch.inputs] == batch.targets.tolist()


def test_digits_see_each_training_image_once_an_epoch():
    task = unchanged_digits()
    batches = [task.batch("train", step, 32, 64) for step in range(75)]  # two epochs
    assert all(batch.weights.all() for batch in batches)
    images = np.concatenate([batch.inputs for batch in batches])
    first, second = images[:1200], images[1200:]
    assert rows_as_bytes(first) == rows_as_bytes(second) == rows_as_bytes(digits_of("train").inputs)
    assert not np.array_equal(first, second)


def test_distortion_moves_turns_and_stretches():
    image = np.arange(1, 65, dtype=np.float32).reshape(1, 8, 8)

    def distorted(task, *amounts):  # angle, stretch down and right, move down and right
        return task._distort(image, np.float32(amounts).reshape(5, 1, 1, 1))[0]

    down_2_left_1 = distorted(unchanged_digits(shift=2.0), 0, 0, 0, 1, -0.5)
    expected = np.zeros((8, 8), np.float32)
    expected[2:, :7] = image[0, :6, 1:]
    assert np.array_equal(down_2_left_1, expected)
    half_right = distorted(unchanged_digits(shift=0.5), 0, 0, 0, 0, 1)
    np.testing.assert_allclose(half_right[:, 1:], (image[0, :, :7] + image[0, :, 1:]) / 2)
    turned = distorted(unchanged_digits(rotation=90.0), 1, 0, 0, 0, 0)
    np.testing.assert_allclose(turned, np.rot90(image[0], -1), rtol=1e-5)
    narrower = distorted(unchanged_digits(scaling=0.5), 0, 0, -1, 0, 0)  # to half its width
    assert np.array_equal(narrower[:, :2], np.zeros((8, 2)))
    np.testing.assert_allclose(narrower[:, 2], (image[0, :, 0] + image[0, :, 1]) / 2)


def test_layouts_hold_the_same_images():
    flat = digits_of("test").inputs.reshape(-1, 8, 8)
    grid = unchanged_digits(layout="grid").batch("test", 0, 300, 64).inputs
    np.testing.assert_array_equal(grid[..., 0], flat)
    solid = unchanged_digits(layout="solid").batch("test", 0, 300, 512).inputs
    assert solid.shape == (300, 8, 8, 8, 1)
    # As high as the ink: the greys 0 to 16 become heights 0 to 8.
    np.testing.assert_array_equal(solid[..., 0].sum(axis=1), np.floor(flat * 8 + 0.5))
