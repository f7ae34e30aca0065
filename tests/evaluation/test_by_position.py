"""Scores by position: every target counts once, where it stands."""

import itertools

import numpy as np
import pytest

from seqmodels.evaluation.by_position import MOST_BINS, places_of, scores_by_position
from seqmodels.evaluation.scoring import Scores
from seqmodels.tasks.base import Batch

ROWS = 5


def scored(places, padding=3, **values):
    """A batch's scores by target, with what padding adds behind them; each target counts once."""

    def padded(array):
        wide = np.broadcast_to(array, places.shape).astype(np.float32)
        return np.pad(wide, ((0, 0), (0, padding)), constant_values=99)

    return Scores({}, {name: (padded(of), padded(1)) for name, of in values.items()})


@pytest.mark.parametrize("length", [MOST_BINS, 1000])
def test_every_target_counts_once_and_where_it_stands(length):
    """The loss of a target is its position: a bin's mean is the middle of its ends."""
    places = [np.tile(np.arange(1, length + 1), (rows, 1)) for rows in (ROWS, 2)]
    found = scores_by_position([scored(each, loss=each) for each in places], places)
    ends = [tuple(map(int, name.split("-"))) for name in found["loss"]]
    assert [ends[0][0], ends[-1][-1]] == [1, length]
    assert all(one[-1] + 1 == next_[0] for one, next_ in itertools.pairwise(ends))
    assert len(ends) == length if length <= MOST_BINS else 40 < len(ends) <= MOST_BINS
    for (first, *_), score in zip(ends, found["loss"].values(), strict=True):
        width = next((b - a + 1 for a, *rest in ends if a == first for b in rest), 1)
        assert score.mean == pytest.approx(first + (width - 1) / 2)
        assert score.examples == ROWS + 2


def test_what_no_target_stands_at_is_left_out():
    places = np.tile([2, 9], (ROWS, 1))
    found = scores_by_position([scored(places, loss=1.0, exact_match=1.0)], [places])
    assert {name: list(bins) for name, bins in found.items()} == {"loss": ["2", "9"]}


def test_one_question_a_sequence_has_no_positions():
    places = np.full((ROWS, 1), 8)
    assert scores_by_position([scored(places, loss=1.0)], [places]) == {}


def test_positions_are_counted_from_one():
    inputs, targets = np.zeros((2, 6)), np.zeros((2, 3))
    everywhere = Batch(inputs, targets, targets)
    assert places_of(everywhere).tolist() == [[1, 2, 3]] * 2
    some = everywhere._replace(positions=np.array([[1, 3, 5]] * 2))
    assert places_of(some).tolist() == [[2, 4, 6]] * 2
