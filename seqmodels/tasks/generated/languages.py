"""Formal languages and state tracking: what takes a stack, a counter or a group to answer.

The tasks of Delétang et al. 2022 (Neural Networks and the Chomsky Hierarchy) on strings of a
whole length, but those that compute (arithmetic.py) and those that write a string
(transduction.py); and word problems of permutation groups (Merrill et al. 2024, Liu et al. 2022).
"""

import itertools
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.random import Generator

from seqmodels.arrays import Int
from seqmodels.errors import require
from seqmodels.tasks.base import Batch, Split, TaskSpec, require_length
from seqmodels.tasks.generated.task import GeneratedTask


class Question(GeneratedTask):
    """A string, and one answer about all of it or one after each symbol."""

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Tokens [B, L]; answers [B], or [B, L]."""
        inputs, answers = self._ask(random, batch_size, length)
        return Batch(inputs.astype(np.int32), answers.astype(np.int32), np.ones(answers.shape))

    def _ask(self, random: Generator, rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError


class Parity(Question):
    """Is the number of 1s odd? Any one symbol changes the answer.

    Args:
      each: whether that is asked after each symbol, and not of the whole string alone: the same
        state is tracked, and much sooner learnt.

    >>> batch = Parity(seed=0).batch("train", 0, batch_size=2, length=6)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[0, 1, 1, 0, 0, 0], [1, 1, 0, 0, 1, 1]], [0, 0])
    >>> Parity(seed=0, each=True).batch("train", 0, batch_size=1, length=6).targets.tolist()
    [[0, 1, 0, 0, 0, 0]]
    """

    answers = 2

    def __init__(self, seed: int, evaluation_examples: int = 1000, each: bool = False):
        super().__init__(seed, evaluation_examples)
        self.each = each
        shape = "many-to-many" if each else "many-to-one"
        self.spec = TaskSpec(shape, "tokens", 2, 2, causal=each)

    def _ask(self, random, rows, length):
        require_length(self, length, length >= 1, "a string has at least 1 symbol")
        inputs = random.integers(0, 2, (rows, length))
        odd = inputs.cumsum(axis=1) % 2
        return inputs, odd if self.each else odd[:, -1]


class EvenPairs(Question):
    """Is the number of places where the symbol changes even?

    It is, where the first symbol equals the last (1 says so; in Delétang et al. 2022 0 does).

    >>> batch = EvenPairs(seed=0).batch("train", 0, batch_size=2, length=6)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[0, 1, 1, 0, 0, 0], [1, 1, 0, 0, 1, 1]], [1, 1])
    """

    spec = TaskSpec("many-to-one", "tokens", 2, 2)

    def _ask(self, random, rows, length):
        require_length(self, length, length >= 1, "a string has at least 1 symbol")
        inputs = random.integers(0, 2, (rows, length))
        return inputs, inputs[:, 0] == inputs[:, -1]

    def chance(self, split: Split, length: int) -> float:
        """1/2; 1 of a single symbol, which equals itself."""
        return 1.0 if length == 1 else 1 / 2


class CycleNavigation(Question):
    """Where on a cycle of 5 places do these steps lead?

    Token 0 stays, 1 steps forward, 2 back; the start is 0.

    >>> batch = CycleNavigation(seed=0).batch("train", 0, batch_size=2, length=6)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[0, 1, 2, 0, 1, 0], [1, 2, 0, 0, 2, 2]], [1, 3])
    """

    spec = TaskSpec("many-to-one", "tokens", 3, 5)

    def _ask(self, random, rows, length):
        require_length(self, length, length >= 1, "a walk has at least 1 step")
        inputs = random.integers(0, 3, (rows, length))
        return inputs, np.array([0, 1, -1])[inputs].sum(axis=1) % 5

    def chance(self, split: Split, length: int) -> float:
        """The share of the likeliest place after so many steps."""
        shares = np.eye(5)[0]
        for _ in range(min(length, 100)):  # after which all are as likely, to 17 digits
            shares = (shares + np.roll(shares, 1) + np.roll(shares, -1)) / 3
        return float(shares.max())


class WordProblem(GeneratedTask):
    """The product of all permutations so far, at every position: tracking a state.

    Tokens are the elements of a group of permutations, drawn evenly, and the target at each
    position is the product of those up to it (Merrill et al. 2024). S5 is the smallest symmetric
    group that is not solvable: no constant number of parallel steps can do it, unless TC0 = NC1.

    Args:
      group: "s3" or "s5", all permutations of 3 or of 5 things.
      scored: how many last products of a word count on validation and test; None for all, which
        training always asks for.

    >>> batch = WordProblem(seed=0, group="s3").batch("train", 0, batch_size=1, length=5)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[2, 2, 1, 4, 4]], [[2, 0, 1, 5, 2]])
    """

    def __init__(
        self,
        seed: int,
        group: Literal["s3", "s5"] = "s5",
        evaluation_examples: int = 1000,
        scored: int | None = None,
    ):
        require(scored is None or scored >= 1, f"scored={scored} is below 1; None counts all")
        super().__init__(seed, evaluation_examples)
        self.group: Literal["s3", "s5"] = group
        self.scored = scored
        elements = self.answers = len(products(group))
        self.spec = TaskSpec(
            "many-to-many", "tokens", input_size=elements, outputs=elements, causal=True
        )

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Elements [B, L] and products [B, L]."""
        require_length(self, length, length >= 1, "a word has at least 1 element")
        table = products(self.group)
        inputs = random.integers(0, len(table), (batch_size, length), np.int32)
        targets = inputs.copy()
        for place in range(1, length):
            targets[:, place] = table[targets[:, place - 1], inputs[:, place]]
        weights = np.ones(targets.shape)
        if self.scored is not None and split != "train":
            weights[:, : -self.scored] = 0
        return Batch(inputs, targets, weights)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B L"]]:
        """Where in the word each product ends, from 0."""
        return {"position": np.tile(np.arange(batch.targets.shape[1]), (len(batch.targets), 1))}


@lru_cache(maxsize=2)
def products(group: Literal["s3", "s5"]) -> Int[np.ndarray, "n n"]:
    """The element that two elements make: first a, then b, in entry [a, b].

    Elements are numbered in lexicographic order; 0 changes nothing.
    """
    elements = list(itertools.permutations(range(int(group[1]))))
    number = {element: index for index, element in enumerate(elements)}
    table = [[number[tuple(b[i] for i in a)] for b in elements] for a in elements]
    return np.array(table, np.int32)


class FlipFlop(GeneratedTask):
    """Write a bit, ignore others, and read what was written last: a memory of one bit.

    Flip-flop language (Liu et al. 2023, Exposing Attention Glitches): instructions, each with a bit
    after it. The first writes, the last reads, and those between write, read or ignore at random;
    the bit after a read is the one that was written last and the target at the read. What
    is rare in training is where attention fails, so that ``ignored`` is varied in evaluation.
    Tokens: the bits 0 and 1, then 2 writes, 3 reads, 4 ignores.

    Args:
      ignored: the share of instructions that ignore; the others write or read, as likely.

    >>> batch = FlipFlop(seed=2, ignored=0.5).batch("train", 0, batch_size=1, length=12)
    >>> batch.inputs.tolist(), batch.positions.tolist()
    ([[2, 1, 4, 1, 3, 1, 4, 1, 2, 0, 3, 0]], [[0, 2, 4, 6, 8, 10]])
    >>> batch.targets.tolist(), batch.weights.tolist()
    ([[1, 1, 1, 1, 0, 0]], [[0.0, 0.0, 1.0, 0.0, 0.0, 1.0]])
    """

    answers = 2
    spec = TaskSpec("many-to-many", "tokens", input_size=5, outputs=2, causal=True)

    def __init__(self, seed: int, ignored: float = 0.8, evaluation_examples: int = 1000):
        require(0 <= ignored <= 1, f"ignored={ignored} is not a share from 0 to 1")
        super().__init__(seed, evaluation_examples)
        self.ignored = ignored

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Tokens [B, L]; the bits after the instructions [B, L / 2], of which those read count."""
        n, rest = divmod(length, 2)
        require_length(self, length, rest == 0 and n >= 2, "an even number, at least 4")
        drawn = random.random((batch_size, n))
        drawn[:, 0], drawn[:, -1] = 0, 1
        reads = drawn > (1 + self.ignored) / 2
        writes = drawn < (1 - self.ignored) / 2
        writes[:, 0], reads[:, -1] = True, True
        bits = random.integers(0, 2, (batch_size, n), np.int32)
        bits = np.where(reads, np.take_along_axis(bits, _last(writes), axis=1), bits)
        instructions = np.where(writes, 2, np.where(reads, 3, 4))
        inputs = np.stack([instructions, bits], axis=2).astype(np.int32).reshape(batch_size, length)
        positions = np.tile(np.arange(0, length, 2, dtype=np.int32), (batch_size, 1))
        return Batch(inputs, bits, reads.astype(np.float32), positions=positions)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B P"]]:
        """How many positions before an instruction the last one stands that wrote."""
        asked = np.asarray(batch.positions)
        writes = np.take_along_axis(np.asarray(batch.inputs), asked, axis=1) == 2
        return {"distance": asked - np.take_along_axis(asked, _last(writes), axis=1)}


def _last(true: np.ndarray) -> np.ndarray:
    """Along the last axis the place of the last True up to and with each."""
    return np.maximum.accumulate(np.where(true, np.arange(true.shape[1])[None], 0), axis=1)
