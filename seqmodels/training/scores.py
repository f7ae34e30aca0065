"""The score of a model on a split: one pass over it, in order, each example once."""

from collections.abc import Callable

import jax
from jax.sharding import Mesh

from seqmodels.arrays import Params
from seqmodels.tasks.base import Batch, Metrics, Split, Task
from seqmodels.training.metrics import Mean
from seqmodels.training.sharding import read_batch

AHEAD = 8
"""Batches that are dispatched before one is waited for: the device never waits, and the inputs of
no more of them lie in memory, however large the split."""


def evaluate(
    evaluation_step: Callable[[Params, Batch], Metrics],
    params: Params,
    task: Task,
    split: Split,
    batch_size: int,
    length: int,
    mesh: Mesh,
) -> dict[str, float]:
    """The mean of each metric over a whole split, each example once; of a training split too.

    ``evaluation_step`` is what :func:`seqmodels.training.step.jit_evaluation_step` gives for the
    mesh. The last batch is filled up with rows of weight 0. An endless training stream is refused.
    """
    examples = task.examples(split, length)
    assert examples is not None, f"{split} is endless"
    batches = -(-examples // batch_size)
    results = []
    for step in range(batches):
        batch = read_batch(task, split, step, batch_size, length, mesh, examples)
        results.append(evaluation_step(params, batch))
        if step >= AHEAD:
            jax.block_until_ready(results[step - AHEAD])
    mean = Mean()
    for metrics in jax.device_get(results):
        mean.add(metrics)
    return mean.result()
