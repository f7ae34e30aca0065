"""The score of a split: each example once, however many batches that takes."""

import numpy as np
import pytest

from seqmodels.tasks import TASKS
from seqmodels.training.scores import AHEAD, evaluate
from seqmodels.training.sharding import make_mesh


def ones(params, batch):
    """In place of a model: how many ones an example has."""
    del params
    count = (batch.inputs.sum(axis=1) * batch.weights).sum()
    return {"ones": (count, batch.weights.sum())}


@pytest.mark.parametrize("batch_size", [1, 7, 8, 21, 64])
def test_the_last_batch_counts_as_far_as_it_goes(batch_size):
    task = TASKS["parity"](seed=0, evaluation_examples=21)
    expected = np.mean(task.batch("test", 0, 21, 9).inputs.sum(axis=1))
    found = evaluate(ones, {}, task, "test", batch_size, 9, make_mesh(1))
    assert found == {"ones": pytest.approx(expected)}


def test_no_more_batches_wait_than_are_held_ahead():
    """Else the inputs of a whole split would lie in memory, as the device falls behind."""
    under_way, most = set(), []

    class Sum:
        def __init__(self):
            under_way.add(self)
            most.append(len(under_way))

        def block_until_ready(self):
            under_way.discard(self)

        def __float__(self):
            return 1.0

    task = TASKS["parity"](seed=0, evaluation_examples=64)
    found = evaluate(lambda *_: {"n": (Sum(), 1.0)}, {}, task, "test", 2, 9, make_mesh(1))
    assert (found, len(most), max(most)) == ({"n": 1.0}, 32, AHEAD + 1)
