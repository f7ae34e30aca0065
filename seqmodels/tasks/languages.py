"""Formal languages and state tracking: what takes a stack, a counter or a group to answer.

The tasks of Delétang et al. 2022 (Neural Networks and the Chomsky Hierarchy) on strings of a
whole length, but those that write a string, which stand in :mod:`seqmodels.tasks.transduction`;
and word problems of permutation groups (Merrill et al. 2024, Liu et al. 2022).
"""

import itertools
from functools import lru_cache
from typing import Literal

import numpy as np

from seqmodels.arrays import Int
from seqmodels.tasks.base import (
    Batch,
    GeneratedTask,
    Split,
    TaskSpec,
    require_length,
)


class _Question(GeneratedTask):
    """A string and one answer about all of it.

    Args:
      seed: which strings are drawn.
      evaluation_examples: the size of the validation and of the test split.
    """

    def __init__(self, seed: int, evaluation_examples: int = 1000):
        super().__init__(seed, evaluation_examples)

    def draw(
        self, random: np.random.Generator, split: Split, batch_size: int, length: int
    ) -> Batch:
        """Tokens [B, L] and answers [B]."""
        inputs, answers = self._ask(random, batch_size, length)
        return Batch(inputs.astype(np.int32), answers.astype(np.int32), np.ones(batch_size))

    def _ask(
        self, random: np.random.Generator, rows: int, length: int
    ) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError


def _question_spec(symbols: int, answers: int) -> TaskSpec:
    return TaskSpec(
        shape="many-to-one",
        inputs="tokens",
        input_size=symbols,
        outputs=answers,
        causal=False,
        score="accuracy",
        higher_is_better=True,
    )


class Parity(_Question):
    """Is the number of 1s odd? Any one symbol changes the answer.

    Args:
      seed: which strings are drawn.
      evaluation_examples: the size of the validation and of the test split.

    >>> batch = Parity(seed=0).batch("train", 0, batch_size=2, length=6)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[0, 1, 1, 0, 0, 0], [1, 1, 0, 0, 1, 1]], [0, 0])
    """

    spec = _question_spec(2, 2)
    answers = 2

    def _ask(self, random, rows, length):
        require_length(length, length >= 1, "parity", "a string has at least 1 symbol")
        inputs = random.integers(0, 2, (rows, length))
        return inputs, inputs.sum(axis=1) % 2


class EvenPairs(_Question):
    """Is the number of places where the symbol changes even?

    It is, where the first symbol equals the last (1 says so; in Delétang et al. 2022 0 does).

    Args:
      seed: which strings are drawn.
      evaluation_examples: the size of the validation and of the test split.

    >>> batch = EvenPairs(seed=0).batch("train", 0, batch_size=2, length=6)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[0, 1, 1, 0, 0, 0], [1, 1, 0, 0, 1, 1]], [1, 1])
    """

    spec = _question_spec(2, 2)

    def _ask(self, random, rows, length):
        require_length(length, length >= 1, "even_pairs", "a string has at least 1 symbol")
        inputs = random.integers(0, 2, (rows, length))
        return inputs, inputs[:, 0] == inputs[:, -1]

    def chance(self, split: Split, length: int) -> float:
        """1/2; 1 of a single symbol, which equals itself."""
        del split
        return 1.0 if length == 1 else 1 / 2


class CycleNavigation(_Question):
    """Where on a cycle of 5 places do these steps lead?

    Token 0 stays, 1 steps forward, 2 back; the start is 0.

    Args:
      seed: which strings are drawn.
      evaluation_examples: the size of the validation and of the test split.

    >>> batch = CycleNavigation(seed=0).batch("train", 0, batch_size=2, length=6)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[0, 1, 2, 0, 1, 0], [1, 2, 0, 0, 2, 2]], [1, 3])
    """

    spec = _question_spec(3, 5)

    def _ask(self, random, rows, length):
        require_length(length, length >= 1, "cycle_navigation", "a walk has at least 1 step")
        inputs = random.integers(0, 3, (rows, length))
        return inputs, np.array([0, 1, -1])[inputs].sum(axis=1) % 5

    def chance(self, split: Split, length: int) -> float:
        """The share of the likeliest place after so many steps."""
        del split
        shares = np.eye(5)[0]
        for _ in range(min(length, 100)):  # after which all are as likely, to 17 digits
            shares = (shares + np.roll(shares, 1) + np.roll(shares, -1)) / 3
        return float(shares.max())


MODULUS = 5
PLUS, MINUS, TIMES, OPEN, CLOSE = range(MODULUS, MODULUS + 5)


class ModularArithmetic(_Question):
    """What is 1 + 3 * 2 - 4 modulo 5? Products go first.

    Tokens 0 to 4 are numbers, 5 is +, 6 is -, 7 is *; numbers and signs take turns, so lengths are
    odd.

    Args:
      seed: which expressions are drawn.
      evaluation_examples: the size of the validation and of the test split.

    >>> batch = ModularArithmetic(seed=0).batch("train", 0, batch_size=2, length=5)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[2, 5, 1, 5, 4], [0, 6, 0, 6, 4]], [2, 1])
    """

    spec = _question_spec(MODULUS + 3, MODULUS)

    def _ask(self, random, rows, length):
        require_length(length, length % 2 == 1, "modular_arithmetic", "an expression is odd")
        inputs = random.integers(0, MODULUS, (rows, length))
        inputs[:, 1::2] = random.integers(PLUS, TIMES + 1, (rows, length // 2))
        total, term = np.zeros(rows, int), inputs[:, 0]
        for place in range(1, length, 2):
            sign, number = inputs[:, place], inputs[:, place + 1]
            total = np.where(sign == TIMES, total, total + term) % MODULUS
            signed = np.where(sign == MINUS, -number, number)
            term = np.where(sign == TIMES, term * number, signed) % MODULUS
        return inputs, (total + term) % MODULUS

    def chance(self, split: Split, length: int) -> float:
        """The share of the likeliest answer, from those of each [total, term] so far."""
        del split
        digits = np.arange(MODULUS)
        # A term times any number, [term, product]; and the term that makes a total a sum.
        products = np.mean(_RESULTS[2][..., None] == digits, axis=1)
        missing = (digits[:, None] - digits) % MODULUS
        shares = np.zeros((MODULUS, MODULUS))
        shares[0] = 1 / MODULUS
        for _ in range(length // 2):
            sums = shares[digits, missing].sum(axis=1)
            shares = (2 / MODULUS * sums[:, None] + shares @ products) / 3
        return float(shares[digits, missing].sum(axis=1).max())


class ModularArithmeticBrackets(_Question):
    """What is ((1 - 3) * (-2)) modulo 5? Brackets nest.

    An expression of one token is a number x, of two -x, of three (x), of four (-x); a longer one is
    (left sign right), its parts of random lengths. Products are among the signs as in the paper's
    example, which its code leaves out by default. Tokens as in ``modular_arithmetic``, 8 and 9
    are the brackets.

    Args:
      seed: which expressions are drawn.
      evaluation_examples: the size of the validation and of the test split.

    >>> batch = ModularArithmeticBrackets(seed=0).batch("train", 0, batch_size=1, length=10)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[8, 8, 6, 1, 9, 7, 8, 4, 9, 9]], [1])
    """

    spec = _question_spec(MODULUS + 5, MODULUS)

    def _ask(self, random, rows, length):
        require_length(
            length, length >= 1, "modular_arithmetic_brackets", "an expression has at least 1 token"
        )
        return _write_expressions(random, rows, length)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B"]]:
        """How many brackets lie inside one another at most."""
        inputs = np.asarray(batch.inputs)
        opened = (inputs == OPEN).astype(int) - (inputs == CLOSE)
        return {"depth": opened.cumsum(axis=1).max(axis=1)}

    def chance(self, split: Split, length: int) -> float:
        """The share of the likeliest value, from those of shorter expressions."""
        del split
        made = np.mean(_RESULTS[..., None] == np.arange(MODULUS), axis=0)  # [left, right, value]
        shares = np.full((max(length, 4) + 1, MODULUS), 1 / MODULUS)
        for size in range(5, length + 1):
            left = np.arange(1, size - 3)
            parts = shares[left].T @ shares[size - 3 - left] / len(left)
            shares[size] = np.tensordot(parts, made, 2)
        return float(shares[length].max())


def _write_expressions(
    random: np.random.Generator, rows: int, length: int
) -> tuple[Int[np.ndarray, "B L"], Int[np.ndarray, "B"]]:
    """Expressions of a length and their values: parts are divided, all of a depth at once."""
    inputs = np.zeros(rows * length, np.int32)
    starts = np.arange(0, rows * length, length, dtype=np.int32)
    lengths = np.full(rows, length, np.int32)
    leaves, depths = [], []
    while len(starts):
        leaf = lengths <= 4
        divided = (~leaf).nonzero()[0]
        leaves.append((starts[leaf], lengths[leaf]))
        begin, inside = starts[divided], lengths[divided] - 3  # without brackets and sign
        left = 1 + (random.random(len(divided)) * (inside - 1)).astype(np.int32)
        depths.append((begin, left, inside, leaf, divided))
        starts = np.concatenate([begin + 1, begin + 2 + left])
        lengths = np.concatenate([left, inside - left])
    begins, lefts, insides = (
        np.concatenate(parts) for parts in list(zip(*depths, strict=True))[:3]
    )
    signs = random.integers(PLUS, TIMES + 1, len(begins), np.int32)
    inputs[begins], inputs[begins + 1 + lefts], inputs[begins + 2 + insides] = OPEN, signs, CLOSE
    starts, lengths = (np.concatenate(parts) for parts in zip(*leaves, strict=True))
    numbers = random.integers(0, MODULUS, len(starts), np.int32)
    negative, bracketed = lengths % 2 == 0, lengths > 2
    inputs[starts[bracketed]] = OPEN
    inputs[(starts + lengths - 1)[bracketed]] = CLOSE
    inputs[(starts + bracketed)[negative]] = MINUS
    inputs[starts + bracketed + negative] = numbers
    # Values from the deepest parts on; those of a depth are needed in the order of its parts.
    values = np.where(negative, -numbers, numbers) % MODULUS
    leaf_end, sign_end = len(values), len(signs)
    made = np.zeros(0, np.int32)
    for _, _, _, leaf, divided in reversed(depths):
        half = len(divided)
        here = signs[sign_end - half : sign_end] - PLUS
        part = np.empty(len(leaf), np.int32)
        part[divided] = _RESULTS[here, made[:half], made[half:]]
        leaf_begin = leaf_end - (len(leaf) - half)
        part[leaf] = values[leaf_begin:leaf_end]
        made, leaf_end, sign_end = part, leaf_begin, sign_end - half
    return inputs.reshape(rows, length), made


_DIGITS = np.arange(MODULUS, dtype=np.int32)
_RESULTS = np.stack(
    [
        operation.outer(_DIGITS, _DIGITS) % MODULUS
        for operation in (np.add, np.subtract, np.multiply)
    ]
)
"""What two numbers make, by sign."""


class WordProblem(GeneratedTask):
    """The product of all permutations so far, at every position: tracking a state.

    Tokens are the elements of a group of permutations, drawn evenly, and the target at each
    position is the product of those up to it (Merrill et al. 2024). S5 is the smallest symmetric
    group that is not solvable: no constant number of parallel steps can do it, unless TC0 = NC1.

    Args:
      seed: which words are drawn.
      group: "s3" or "s5", all permutations of 3 or of 5 things.
      evaluation_examples: the size of the validation and of the test split.

    >>> batch = WordProblem(seed=0, group="s3").batch("train", 0, batch_size=1, length=5)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[2, 2, 1, 4, 4]], [[2, 0, 1, 5, 2]])
    """

    def __init__(
        self, seed: int, group: Literal["s3", "s5"] = "s5", evaluation_examples: int = 1000
    ):
        super().__init__(seed, evaluation_examples)
        self.group: Literal["s3", "s5"] = group
        elements = self.answers = len(products(group))
        self.spec = TaskSpec(
            shape="many-to-many",
            inputs="tokens",
            input_size=elements,
            outputs=elements,
            causal=True,
            score="accuracy",
            higher_is_better=True,
        )

    def draw(
        self, random: np.random.Generator, split: Split, batch_size: int, length: int
    ) -> Batch:
        """Elements [B, L] and products [B, L]."""
        require_length(length, length >= 1, "word_problem", "a word has at least 1 element")
        table = products(self.group)
        inputs = random.integers(0, len(table), (batch_size, length), np.int32)
        targets = inputs.copy()
        for place in range(1, length):
            targets[:, place] = table[targets[:, place - 1], inputs[:, place]]
        return Batch(inputs, targets, np.ones(targets.shape))

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
