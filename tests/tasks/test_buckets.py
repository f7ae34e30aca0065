"""Buckets: few shapes, and padding that counts for nothing."""

import jax
import numpy as np
import pytest

from seqmodels.errors import ParameterError
from seqmodels.tasks import TASKS
from seqmodels.tasks.buckets import bucket, nearest_length, pad
from seqmodels.training.experiment import build_experiment
from tests.drawn_parameters import draw_parameters
from tests.test_configs import load, reduced


def test_lengths_share_few_buckets():
    task = TASKS["parity"](seed=0)
    assert {bucket(task, n, 100) for n in range(3, 101)} == {4, 8, 16, 32, 64, 100}


def test_a_bucket_is_a_length_that_the_task_makes():
    odd = TASKS["modular_arithmetic"](seed=0)
    assert [bucket(odd, n, 41) for n in (1, 3, 5, 9, 33, 41)] == [1, 3, 7, 15, 41, 41]
    assert nearest_length(TASKS["copy"](seed=0, pattern=4), 3, 20) == 8
    with pytest.raises(ParameterError, match="length=7 can't be made by the task copy: "):
        nearest_length(TASKS["copy"](seed=0, pattern=4), 3, 7)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "mixer", "length"),
    [("languages", "lstm", 11), ("recall", "global", 20), ("reverse", "gru", 7)],
)
def test_padding_changes_no_metric(file, mixer, length):
    """One question, some positions that count, and a written sequence."""
    experiment = build_experiment(reduced(load(f"configs/{file}.py", mixer)))
    task, params = experiment.task, draw_parameters(experiment.model)
    batch = task.batch("test", 0, 4, length)
    padded = pad(batch, task.batch("train", 0, 1, 2 * length))
    assert padded.inputs.shape == (4, 2 * length)

    @jax.jit
    def metrics(params, batch):
        return task.metrics(experiment.model.apply(params, batch, None), batch)

    of_padded = metrics(params, padded)
    for name, expected in metrics(params, batch).items():
        np.testing.assert_allclose(of_padded[name], expected, rtol=1e-5, err_msg=name)
