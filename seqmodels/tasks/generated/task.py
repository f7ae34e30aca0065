"""A task whose examples are drawn, and whose chance is told by draws."""

from functools import lru_cache

import numpy as np
from numpy.random import Generator

from seqmodels.arrays import Array, Float
from seqmodels.errors import require_least
from seqmodels.tasks.base import (
    Batch,
    Metrics,
    Split,
    TaskSpec,
    classification_metrics,
    exact_match_metrics,
    example_weights,
    generator,
)
from seqmodels.tasks.chance import chance_of_draws

EVALUATION_ROWS = 64
"""Examples of a generated validation or test split that are drawn together."""


class GeneratedTask:
    """A task whose examples are drawn: endless in training, a fixed number in each other split.

    A task of this kind says in :meth:`draw` how; each split and step has random numbers of its own.
    What is evaluated is drawn in blocks of EVALUATION_ROWS examples, whatever the batch size.

    Args:
      seed: which examples are drawn.
      evaluation_examples: the size of the validation and of the test split.
    """

    spec: TaskSpec
    answers: int | None = None
    """How many answers there are, where at each place all are as likely; None where they aren't."""

    def __init__(self, seed: int, evaluation_examples: int = 1000):
        require_least(1, evaluation_examples=evaluation_examples)
        self.seed = seed
        self.evaluation_examples = evaluation_examples

    def examples(self, split: Split, length: int) -> int | None:
        return None if split == "train" else self.evaluation_examples

    def batch(self, split: Split, step: int, batch_size: int, length: int) -> Batch:
        """What is drawn, with weight 0 for the examples past the end of a split."""
        if split == "train":
            random = generator(self.seed, split, step, length)
            drawn = self.draw(random, split, batch_size, length)
        else:
            drawn = _evaluation_rows(self, split, step * batch_size, batch_size, length)
        counted = example_weights(self.evaluation_examples, split, step, batch_size)
        counted = counted.reshape(-1, *(1,) * (drawn.targets.ndim - 1))
        return drawn._replace(weights=(drawn.weights * counted).astype(np.float32))

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """A batch whose weights say which targets count: 1, or an array as large as the targets.

        Raises :class:`ParameterError` for a length that the task can't make.
        """
        raise NotImplementedError

    def metrics(self, outputs: Float[Array, "B *P V"], batch: Batch) -> Metrics:
        """Cross-entropy and accuracy, and of several targets the share that is wholly right."""
        if batch.targets.ndim == 1:
            return classification_metrics(outputs, batch)
        return exact_match_metrics(outputs, batch)

    def chance(self, split: Split, length: int) -> float:
        """1 / ``answers``, or by draws; a task that has another closed form returns that."""
        if self.answers is not None:
            return 1 / self.answers
        return chance_of_draws(self, split, length)


def _evaluation_rows(
    task: GeneratedTask, split: Split, start: int, count: int, length: int
) -> Batch:
    """The examples of a split from ``start`` on."""
    first, last = start // EVALUATION_ROWS, (start + count - 1) // EVALUATION_ROWS
    blocks = [_evaluation_block(task, split, block, length) for block in range(first, last + 1)]
    skipped = start - first * EVALUATION_ROWS
    rows = slice(skipped, skipped + count)
    # A weight may stand for all targets of a block.
    full = [b._replace(weights=np.broadcast_to(b.weights, b.targets.shape)) for b in blocks]
    joined = [
        None if parts[0] is None else np.concatenate(parts)[rows]
        for parts in zip(*full, strict=True)
    ]
    return Batch(*joined)  # type: ignore[arg-type]


@lru_cache(maxsize=2)
def _evaluation_block(task: GeneratedTask, split: Split, block: int, length: int) -> Batch:
    random = generator(task.seed, split, block, length)
    return task.draw(random, split, EVALUATION_ROWS, length)
