"""Arithmetic modulo 5, of sums of products and with brackets (Delétang et al. 2022)."""

import numpy as np
from numpy.random import Generator

from seqmodels.arrays import Int
from seqmodels.tasks.base import Batch, Split, TaskSpec, require_length
from seqmodels.tasks.generated.languages import Question

MODULUS = 5
PLUS, MINUS, TIMES, OPEN, CLOSE = range(MODULUS, MODULUS + 5)
EXACT = 1000
"""Up to this length the chance of expressions with brackets is worked out, in time ~ length²."""


class ModularArithmetic(Question):
    """What is 1 + 3 * 2 - 4 modulo 5? Products go first.

    Tokens 0 to 4 are numbers, 5 is ``+``, 6 is ``-``, 7 is ``*``; numbers and signs take turns, so
    lengths are odd.

    >>> batch = ModularArithmetic(seed=0).batch("train", 0, batch_size=2, length=5)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[2, 5, 1, 5, 4], [0, 6, 0, 6, 4]], [2, 1])
    """

    spec = TaskSpec("many-to-one", "tokens", MODULUS + 3, MODULUS)

    def _ask(self, random, rows, length):
        require_length(self, length, length % 2 == 1, "an expression is odd")
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
        digits = np.arange(MODULUS)
        # A term times any number, [term, product]; and the term that makes a total a sum.
        products = np.mean(_RESULTS[2][..., None] == digits, axis=1)
        missing = (digits[:, None] - digits) % MODULUS
        shares = np.zeros((MODULUS, MODULUS))
        shares[0] = 1 / MODULUS
        for _ in range(min(length // 2, 100)):  # after which all are as likely
            sums = shares[digits, missing].sum(axis=1)
            shares = (2 / MODULUS * sums[:, None] + shares @ products) / 3
        return float(shares[digits, missing].sum(axis=1).max())


class ModularArithmeticBrackets(Question):
    """What is ((1 - 3) * (-2)) modulo 5? Brackets nest.

    An expression of one token is a number x, of two -x, of three (x), of four (-x); a longer one is
    (left sign right), its parts of random lengths. Products are among the signs as in the paper's
    example, which its code leaves out by default. Tokens as in ``modular_arithmetic``, 8 and 9
    are the brackets.

    >>> batch = ModularArithmeticBrackets(seed=0).batch("train", 0, batch_size=1, length=10)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[8, 8, 6, 1, 9, 7, 8, 4, 9, 9]], [1])
    """

    spec = TaskSpec("many-to-one", "tokens", MODULUS + 5, MODULUS)

    def _ask(self, random, rows, length):
        require_length(self, length, length >= 1, "an expression has at least 1 token")
        return _write_expressions(random, rows, length)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B"]]:
        """How many brackets lie inside one another at most."""
        inputs = np.asarray(batch.inputs)
        opened = (inputs == OPEN).astype(int) - (inputs == CLOSE)
        return {"depth": opened.cumsum(axis=1).max(axis=1)}

    def chance(self, split: Split, length: int) -> float:
        """The share of the likeliest value, from those of shorter expressions; or by draws."""
        if length > EXACT:
            return super().chance(split, length)
        made = np.mean(_RESULTS[..., None] == np.arange(MODULUS), axis=0)  # [left, right, value]
        shares = np.full((max(length, 4) + 1, MODULUS), 1 / MODULUS)
        for size in range(5, length + 1):
            parts = shares[1 : size - 3].T @ shares[size - 4 : 0 : -1] / (size - 4)
            shares[size] = np.tensordot(parts, made, 2)
        return float(shares[length].max())


def _write_expressions(
    random: Generator, rows: int, length: int
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
