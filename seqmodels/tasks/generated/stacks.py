"""Many stacks at once: what was pushed onto the one that is named?"""

import numpy as np
from numpy.random import Generator

from seqmodels.arrays import Int
from seqmodels.errors import require_least
from seqmodels.tasks.base import Batch, Split, TaskSpec, require_length
from seqmodels.tasks.generated.task import GeneratedTask
from seqmodels.tasks.sampling import previous

OPERATION = 3
"""Tokens of an operation: what is done, to which stack, and with what symbol."""


class Stacks(GeneratedTask):
    """Push onto and pop off stacks, each with a name; say what is popped.

    State tracking of the Kimi Team (2025, Kimi Linear, section 5.1), which has 64 stacks. An
    operation is three tokens: push (0) or pop (1), the stack's name, and the symbol that goes on it
    or comes off it. Which stack is drawn anew each time, pushes and pops are as likely, what is
    empty is pushed onto, and the last operation pops where it can. The symbol of a pop is the
    target at the name before it. Tokens: 0 push, 1 pop, then the names, then the symbols.

    Args:
      stacks: how many there are.
      symbols: the number of different symbols.

    >>> task = Stacks(seed=0, stacks=2, symbols=5)
    >>> batch = task.batch("train", step=0, batch_size=1, length=12)
    >>> batch.inputs.tolist(), batch.positions.tolist()
    ([[0, 2, 6, 0, 3, 7, 0, 2, 4, 1, 3, 7]], [[1, 4, 7, 10]])
    >>> batch.targets.tolist(), batch.weights.tolist()
    ([[6, 7, 4, 7]], [[0.0, 0.0, 0.0, 1.0]])
    """

    def __init__(
        self, seed: int, stacks: int = 64, symbols: int = 64, evaluation_examples: int = 1000
    ):
        require_least(1, stacks=stacks)
        require_least(2, symbols=symbols)
        super().__init__(seed, evaluation_examples)
        self.stacks = stacks
        self.symbols = self.answers = symbols
        tokens = 2 + stacks + symbols
        self.spec = TaskSpec("many-to-many", "tokens", tokens, tokens, causal=True)

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Tokens [B, L]; the symbols at the names [B, L / 3], of which those of pops count."""
        n, rest = divmod(length, OPERATION)
        why = f"a multiple of {OPERATION}, the tokens of an operation, from {2 * OPERATION} on"
        require_length(self, length, rest == 0 and n >= 2, why)
        names = random.integers(0, self.stacks, (batch_size, n - 1), np.int32)
        steps = 2 * random.integers(0, 2, names.shape, np.int32) - 1
        pops, levels = _walks(names, steps)
        names, pops, levels = _end(random, names, pops, levels)
        symbols = random.integers(0, self.symbols, (batch_size, n), np.int32)
        pushed = np.maximum(previous(_places(names, levels)), 0)
        symbols = np.where(pops, np.take_along_axis(symbols, pushed, axis=1), symbols)
        symbols += 2 + self.stacks
        inputs = np.stack([pops, 2 + names, symbols], axis=2).astype(np.int32)
        inputs = inputs.reshape(batch_size, length)
        positions = np.broadcast_to(np.arange(1, length, OPERATION, dtype=np.int32), pops.shape)
        return Batch(inputs, symbols, pops.astype(np.float32), positions=positions)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B P"]]:
        """How many operations before a pop its symbol was pushed."""
        operations = np.asarray(batch.inputs).reshape(len(batch.inputs), -1, OPERATION)
        pops, names = operations[..., 0] == 1, operations[..., 1] - 2
        levels = _heights(names, np.where(pops, -1, 1)) + pops
        pushed = previous(_places(names, levels))
        return {"distance": np.where(pops, np.arange(pops.shape[1])[None] - pushed, 0)}


def _walks(names, steps) -> tuple[np.ndarray, np.ndarray]:
    """Which operations [B, n] pop, and the level of its stack that each fills or empties.

    The distance from 0 of a walk that goes freely up and down is a height that goes up and down
    as likely, and up from 0.
    """
    after = _heights(names, steps)
    before = np.abs(after - steps)
    after = np.abs(after)
    return after < before, np.maximum(after, before)


def _end(random, names, pops, levels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One operation more, which pops a symbol that still lies on its stack, whichever."""
    rows = np.arange(len(names))
    left = np.pad(~pops, ((0, 0), (0, 1)))  # the last column is for what has no push before it
    left[rows[:, None], np.where(pops, previous(_places(names, levels)), -1)] = False
    left = left[:, :-1]
    chosen = np.argmax(left * random.random(left.shape), axis=1)
    name = names[rows, chosen]
    height = np.where(names == name[:, None], left, False).sum(axis=1)  # the top is popped

    def joined(x, last):
        return np.concatenate([x, last[:, None]], axis=1)

    return joined(names, name), joined(pops, height > 0), joined(levels, np.maximum(height, 1))


def _places(names, levels) -> np.ndarray:
    """A number for each level of each stack: there pushes and pops take turns."""
    return names.astype(np.int64) * (levels.shape[1] + 1) + levels


def _heights(names, steps) -> np.ndarray:
    """The sum of the steps of each one's stack up to and with it."""
    order = np.argsort(names, axis=1, kind="stable")
    in_order = np.take_along_axis(names, order, axis=1)
    sums = np.cumsum(np.take_along_axis(steps, order, axis=1), axis=1)
    first = np.ones(names.shape, bool)
    first[:, 1:] = in_order[:, 1:] != in_order[:, :-1]
    places = np.maximum.accumulate(np.where(first, np.arange(names.shape[1])[None], 0), axis=1)
    padded = np.pad(sums, ((0, 0), (1, 0)))
    heights = np.empty_like(sums)
    np.put_along_axis(heights, order, sums - np.take_along_axis(padded, places, axis=1), axis=1)
    return heights
