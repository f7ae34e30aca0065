"""ListOps: nested operations on lists of digits, from Long Range Arena."""

from random import Random

import numpy as np

from seqmodels.arrays import Int
from seqmodels.errors import require
from seqmodels.tasks.base import (
    Batch,
    GeneratedTask,
    Split,
    TaskSpec,
    require_length,
)

OPERATION_SHARE = 0.25
"""How often an argument is an operation of its own, unless that would nest too deeply."""
MINIMUM, MAXIMUM, MEDIAN, SUM, END = range(10, 15)
SHOWN = (*map(str, range(10)), "[MIN", "[MAX", "[MED", "[SM", "]")
SHORTEST_SHARE = 4
"""The shortest expression has a fourth of the longest's tokens, as 500 has of 2,000."""
TRIES = 100_000


class ListOps(GeneratedTask):
    """What is [MAX 4 3 [MIN 2 3 ] 1 0 [MED 1 5 8 9 2 ] ]? A digit; chance is 10%.

    The grammar, depth, arguments and lengths of Long Range Arena (Tay et al. 2021), after Nangia
    and Bowman 2018: the operations are minimum, maximum, median (rounded down) and sum
    modulo 10; an argument is an operation with probability 1/4 and else a digit. Expressions have
    from length / 4 to ``length`` tokens (there more than 500 and fewer than 2,000) and are padded.

    Args:
      seed: which expressions are drawn.
      depth: a value may lie inside so many operations at most, less one.
      arguments: the most arguments that an operation has; the least is 2.
      evaluation_examples: the size of the validation and of the test split.

    >>> task = ListOps(seed=0)
    >>> batch = task.batch("train", 0, batch_size=1, length=16)
    >>> " ".join(SHOWN[token] for token in batch.inputs[0][batch.mask[0]]), batch.targets.tolist()
    ('[MAX 9 3 8 ]', [9])
    """

    spec = TaskSpec(
        shape="many-to-one",
        inputs="tokens",
        input_size=len(SHOWN),
        outputs=10,
        causal=False,
        score="accuracy",
        higher_is_better=True,
    )

    def __init__(
        self, seed: int, depth: int = 10, arguments: int = 10, evaluation_examples: int = 2000
    ):
        require(depth >= 2, f"depth={depth} is not at least 2")
        require(arguments >= 2, f"arguments={arguments} is not at least 2")
        super().__init__(seed, evaluation_examples)
        self.depth = depth
        self.arguments = arguments

    def draw(
        self, random: np.random.Generator, split: Split, batch_size: int, length: int
    ) -> Batch:
        """Expressions [B, L] with their mask, and their values [B]."""
        require_length(length, length >= 4, "listops", "an operation takes at least 4 tokens")
        inputs = np.zeros((batch_size, length), np.int32)
        mask = np.zeros((batch_size, length), bool)
        targets = np.zeros(batch_size, np.int32)
        draws = Random(int(random.integers(2**62)))  # of one number, a tenth of NumPy's time
        for row in range(batch_size):
            tokens, targets[row] = self._expression(draws, length)
            inputs[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = True
        return Batch(inputs, targets, np.ones(batch_size), mask)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B"]]:
        """How many operations lie inside one another at most."""
        inputs = np.asarray(batch.inputs)
        opened = ((inputs >= MINIMUM) & (inputs < END)).astype(int) - (inputs == END)
        return {"depth": opened.cumsum(axis=1).max(axis=1)}

    def _expression(self, draws: Random, longest: int) -> tuple[list[int], int]:
        """The first of the grammar's expressions that is neither too short nor too long."""
        for _ in range(TRIES):
            tokens: list[int] = []
            value = self._operation(draws, tokens, 1, longest)
            if value is not None and len(tokens) * SHORTEST_SHARE >= longest:
                return tokens, value
        require_length(
            longest,
            False,
            "listops",
            f"expressions of depth={self.depth} and arguments={self.arguments} are hardly ever so "
            f"long; raise these, or take a shorter one",
        )
        raise AssertionError

    def _operation(self, draws: Random, tokens: list[int], depth: int, longest: int) -> int | None:
        """Appends an operation and returns its value; None as soon as there are too many tokens."""
        operation = MINIMUM + int(4 * draws.random())
        tokens.append(operation)
        values = []
        for _ in range(2 + int((self.arguments - 1) * draws.random())):
            if depth + 1 < self.depth and draws.random() < OPERATION_SHARE:
                value = self._operation(draws, tokens, depth + 1, longest)
                if value is None:
                    return None
            else:
                value = int(10 * draws.random())
                tokens.append(value)
            values.append(value)
        tokens.append(END)
        return None if len(tokens) > longest else apply(operation, values)


def apply(operation: int, values: list[int]) -> int:
    """An operation's value.

    >>> apply(MEDIAN, [3, 8, 4, 9]), apply(SUM, [7, 8])
    (6, 5)
    """
    if operation == MINIMUM:
        return min(values)
    if operation == MAXIMUM:
        return max(values)
    if operation == SUM:
        return sum(values) % 10
    ordered, middle = sorted(values), len(values) // 2
    if len(values) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) // 2
