"""The score of a split: each example once, however many batches that takes."""

import numpy as np
import pytest

from seqmodels.tasks import TASKS
from seqmodels.training.scores import evaluate
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
