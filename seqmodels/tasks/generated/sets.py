"""Questions about an unordered set of numbers."""

from typing import Literal

import numpy as np
from numpy.random import Generator

from seqmodels.arrays import Int
from seqmodels.errors import require_least
from seqmodels.tasks.base import Batch, Split, TaskSpec, require_length
from seqmodels.tasks.generated.task import GeneratedTask


class Set(GeneratedTask):
    """The largest of some numbers, or how many of them are 0, whatever their order.

    Numbers are tokens from 0 to ``symbols`` - 1. Sets have from 1 to ``length`` members (with
    repetitions) and are padded. For "maximum" each set first draws how large its members may
    be, so that every answer is about as frequent; for "count" each draws how many 0s it
    holds, and answers go up to ``symbols`` - 1 ("or more").

    Args:
      operation: "maximum" or "count".
      symbols: the number of different numbers, and of answers.

    >>> batch = Set(seed=0, symbols=5).batch("test", step=0, batch_size=2, length=4)
    >>> batch.inputs.tolist(), batch.targets.tolist(), batch.mask.sum(axis=1).tolist()
    ([[1, 3, 0, 0], [0, 2, 2, 0]], [3, 2], [2, 3])
    """

    def __init__(
        self,
        seed: int,
        operation: Literal["maximum", "count"] = "maximum",
        symbols: int = 16,
        evaluation_examples: int = 1000,
    ):
        require_least(2, symbols=symbols)
        super().__init__(seed, evaluation_examples)
        self.operation = operation
        self.symbols = symbols
        self.spec = TaskSpec("many-to-one", "tokens", input_size=symbols, outputs=symbols)

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Numbers [B, L] with their mask, and the answers [B]."""
        require_length(self, length, length >= 1, "a set has at least 1 member")
        sizes = random.integers(1, length + 1, (batch_size, 1))
        mask = np.arange(length)[None] < sizes
        if self.operation == "maximum":
            tops = random.integers(0, self.symbols, (batch_size, 1))
            inputs = random.integers(0, tops + 1, (batch_size, length))
            targets = np.where(mask, inputs, 0).max(axis=1)
        else:
            inputs = random.integers(1, self.symbols, (batch_size, length))
            zeros = random.integers(0, np.minimum(sizes, self.symbols - 1) + 1)
            # The places of the zeros: the first in a random order of the members.
            order = np.argsort(np.where(mask, random.random(mask.shape), 2.0), axis=1)
            chosen = np.where(
                np.arange(length)[None] < zeros, 0, np.take_along_axis(inputs, order, axis=1)
            )
            np.put_along_axis(inputs, order, chosen, axis=1)
            targets = zeros[:, 0]
        inputs = np.where(mask, inputs, 0)
        return Batch(inputs.astype(np.int32), targets.astype(np.int32), np.ones(batch_size), mask)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B"]]:
        """How many members a set has."""
        return {"length": np.asarray(batch.mask).sum(axis=1)}

    def chance(self, split: Split, length: int) -> float:
        """The share of the most frequent answer, over all sizes: of a count 0.

        Of n numbers up to t none is above k with probability ((k + 1) / (t + 1))^n.
        """
        if self.operation == "count":
            sizes = np.arange(1, length + 1)
            return float(np.mean(1 / (np.minimum(sizes, self.symbols - 1) + 1)))
        tops, answers = np.ogrid[1 : self.symbols + 1, 1 : self.symbols + 1]
        low = np.where(answers < tops, answers / tops, 0)
        over_sizes = low * (1 - low**length) / (1 - low) / length  # the mean of its powers
        at_most = np.where(answers < tops, over_sizes, 1).mean(axis=0)
        return float(np.diff(at_most, prepend=0).max())
