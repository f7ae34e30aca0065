"""ListOps: nested operations on lists of digits, from Long Range Arena."""

import itertools
import math
from bisect import bisect
from collections.abc import Iterator
from functools import cache
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

    >>> task = ListOps(seed=0, arguments=4)
    >>> batch = task.batch("train", 0, batch_size=1, length=20)
    >>> " ".join(SHOWN[token] for token in batch.inputs[0][batch.mask[0]]), batch.targets.tolist()
    ('[MED 8 [MIN 9 8 0 2 ] ]', [4])
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
            shape = self._shape(draws, longest)
            if shape is not None:
                tokens: list[int] = []
                return tokens, _operation(draws, tokens, [iter(level) for level in shape], 0)
        require_length(
            longest,
            False,
            "listops",
            f"expressions of depth={self.depth} and arguments={self.arguments} are hardly ever so "
            f"long; raise these, or take a shorter one",
        )
        raise AssertionError

    def _shape(self, draws: Random, longest: int) -> list[list[tuple[int, int]]] | None:
        """For each depth how many arguments its operations have, and how many are operations.

        None where the expression would be too long or too short: most are, so that digits and
        places are drawn for the others alone.
        """
        uniform, (choices, cumulative) = draws.random, _arguments(self.arguments)
        shape: list[list[tuple[int, int]]] = []
        size, operations = 0, 1
        for depth in range(1, self.depth):
            level = [choices[bisect(cumulative, uniform())] for _ in range(operations)]
            if depth + 1 == self.depth:
                level = [(arguments, 0) for arguments, _ in level]
            shape.append(level)
            size += 2 * operations
            operations = sum(inner for _, inner in level)
            size += sum(arguments for arguments, _ in level) - operations
            if size + 4 * operations > longest:
                return None
            if operations == 0:
                break
        return shape if size * SHORTEST_SHARE >= longest else None


def _operation(
    draws: Random, tokens: list[int], shape: list[Iterator[tuple[int, int]]], depth: int
) -> int:
    """Appends the next operation of a depth and returns its value."""
    arguments, operations = next(shape[depth])
    uniform, values = draws.random, []
    operation = MINIMUM + int(4 * uniform())
    tokens.append(operation)
    for left in range(arguments, 0, -1):
        # Of the arguments that are left all are as likely to be operations.
        if operations and uniform() * left < operations:
            operations -= 1
            values.append(_operation(draws, tokens, shape, depth + 1))
        else:
            value = int(10 * uniform())
            tokens.append(value)
            values.append(value)
    tokens.append(END)
    return apply(operation, values)


@cache
def _arguments(most: int) -> tuple[list[tuple[int, int]], list[float]]:
    """Numbers of arguments, evenly from 2 to ``most``, with how many of them are operations.

    Each comes with the probability that it is drawn or one before it, for all but the last.
    """
    choices, chances = [], []
    for arguments in range(2, most + 1):
        for inner in range(arguments + 1):
            share = OPERATION_SHARE**inner * (1 - OPERATION_SHARE) ** (arguments - inner)
            choices.append((arguments, inner))
            chances.append(math.comb(arguments, inner) * share / (most - 1))
    return choices, list(itertools.accumulate(chances))[:-1]


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
