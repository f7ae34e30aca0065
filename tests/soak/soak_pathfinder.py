"""What can be told of 3,000 Pathfinder images without following a path, at both sides."""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from seqmodels.tasks.generated.pathfinder import Pathfinder
from tests.tasks.pictures import find_circles, flooded, joined

EXAMPLES, ALLOWED = 3000, 0.55
THRESHOLDS = np.linspace(0, 0.95, 20)
READERS = {
    "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, C=0.1)),
    "forest": RandomForestClassifier(200, min_samples_leaf=3, random_state=0),
}


@pytest.fixture(scope="module", params=[32, 128])
def pictures(request):
    """Images [n, side, side], labels and places of circles."""
    side = request.param
    task = Pathfinder(seed=0, side=side, layout="grid")
    batches = [task.batch("train", step, 100, side**2) for step in range(EXAMPLES // 100)]
    images = np.concatenate([batch.inputs[..., 0] for batch in batches])
    return images, np.concatenate([batch.targets for batch in batches]), find_circles(images)


def numbers(images: np.ndarray, circles: np.ndarray) -> np.ndarray:
    """Ink in rings and discs around the circles, their distance and places, and counts."""
    side, rows = images.shape[1], []
    down, right = np.mgrid[:side, :side]
    edges = np.linspace(0, 0.75 * side, 13)
    for image, places in zip(images, circles, strict=True):
        rings = []
        for place in places:
            away = np.hypot(down - place[0], right - place[1])
            ring = np.histogram(away, edges, weights=image)[0]
            rings.append(np.concatenate([ring, ring.cumsum()]))
        apart = np.hypot(*(places[0] - places[1]))
        counts = [image.sum(), (image > 0).sum(), (image > 0.5).sum()]
        both = [*rings, rings[0] + rings[1], abs(rings[0] - rings[1])]
        rows.append(np.concatenate([*both, counts, places.ravel(), [apart]]))
    return np.array(rows)


def shapes(images: np.ndarray, circles: np.ndarray) -> np.ndarray:
    """How many connected parts, how large; how often each 3×3 pattern of ink comes, corners and
    ends among them; ink by row and column; and where the circles are."""
    side, rows = images.shape[1], []
    for image, places in zip(images, circles, strict=True):
        row = [image.sum(), *image.sum(0), *image.sum(1), *places.ravel()]
        for threshold in (0, 0.5):
            ink = image > threshold
            parts, count = ndimage.label(ink, np.ones((3, 3)))
            sizes = np.sort(np.bincount(parts.ravel())[1:])[::-1][:40]
            padded = np.pad(ink, 1).astype(int)
            around = (padded[i : i + side, j : j + side] << 3 * i + j for i, j in np.ndindex(3, 3))
            row += [count, *np.pad(sizes, (0, 40 - len(sizes)))]
            row += [*np.bincount(sum(around).ravel(), minlength=512)]
        rows.append(row)
    found = np.array(rows)
    return found[:, found.std(axis=0) > 0]


def test_labels_are_what_pictures_show(pictures):
    images, labels, _ = pictures
    shown = [joined(images[i : i + 100]) for i in range(0, EXAMPLES, 100)]
    np.testing.assert_array_equal(np.concatenate(shown), labels)
    assert abs(labels.mean() - 0.5) < 0.04  # 4 standard deviations


def test_floods_find_nothing(pictures):
    images, labels, circles = pictures
    for threshold in THRESHOLDS:
        assert (flooded(images > threshold, circles) == labels).mean() <= ALLOWED


@pytest.mark.parametrize("measure", [numbers, shapes])
@pytest.mark.parametrize("reader", READERS)
def test_numbers_of_ink_say_nothing(pictures, reader, measure, show):
    images, labels, circles = pictures
    right = cross_val_score(READERS[reader], measure(images, circles), labels, cv=5).mean()
    show(f"{reader} on {measure.__name__} at side {images.shape[1]}: {right:.3f}")
    assert right <= ALLOWED
