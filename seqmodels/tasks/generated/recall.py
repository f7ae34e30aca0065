"""Recall: look up what was said about a key, about what was said, or digit by digit."""

from typing import Literal

import numpy as np
from numpy.random import Generator

from seqmodels.arrays import Int
from seqmodels.errors import require, require_least
from seqmodels.tasks.base import Batch, Split, TaskSpec, require_length
from seqmodels.tasks.generated.task import GeneratedTask
from seqmodels.tasks.sampling import choose

DIGITS, LETTERS = 10, 26
MOST_LETTERS = 6
"""Of a name: 26 to the power of that still counts names in 32 bits."""


class Recall(GeneratedTask):
    """Key-value pairs, then each key once more: answer with its value.

    Multi-query associative recall (Arora et al. 2023, Zoology): the sequence begins
    with ``pairs`` keys, each followed by its value. In the rest each key stands once
    more, at an even distance after the pairs that follows a power law, and the value
    is the target at that very position. Tokens: 0 is blank, the lower half of the
    vocabulary are keys, the upper half values. Zoology's own filler is any token, so that keys
    turn up where nothing is asked; here it never is a key.

    Args:
      vocabulary: the number of tokens V, even.
      pairs: the number of key-value pairs.
      power: queries come at distance g with probability ~ g^(power - 1); small is near.
      filler: what stands between the queries: blanks, or random values (never keys).

    >>> batch = Recall(seed=0, vocabulary=8, pairs=2).batch("train", 0, batch_size=1, length=8)
    >>> batch.inputs.tolist(), batch.targets.tolist(), batch.positions.tolist()
    ([[2, 4, 1, 5, 2, 0, 1, 0]], [[4, 5]], [[4, 6]])
    """

    def __init__(
        self,
        seed: int,
        vocabulary: int = 256,
        pairs: int = 4,
        power: float = 0.01,
        filler: Literal["blank", "random"] = "blank",
        evaluation_examples: int = 1000,
    ):
        require(
            vocabulary % 2 == 0 and vocabulary // 2 > pairs,
            f"vocabulary={vocabulary} is not an even number above {2 * pairs} (pairs={pairs})",
        )
        require_least(1, pairs=pairs)
        require(power > 0, f"power={power} is not above 0")
        super().__init__(seed, evaluation_examples)
        self.vocabulary = vocabulary
        self.answers = vocabulary // 2
        self.pairs = pairs
        self.power = power
        self.filler = filler
        self.spec = TaskSpec("many-to-many", "tokens", input_size=vocabulary, outputs=vocabulary)

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Tokens [B, L]; the values are the targets at the queries' positions [B, pairs]."""
        pairs, half = self.pairs, self.vocabulary // 2
        require_length(
            self, length, length >= 4 * pairs, f"{pairs} pairs take at least {4 * pairs}"
        )
        keys = 1 + choose(random, half - 1, batch_size, pairs)
        values = half + choose(random, half, batch_size, pairs)
        space = (length - 2 * pairs) // 2
        places = np.arange(1, space + 1)
        gaps = choose(random, (self.power - 1) * np.log(places), batch_size, pairs)
        positions = 2 * pairs + 2 * gaps
        inputs = np.zeros((batch_size, length), np.int32)
        if self.filler == "random":
            inputs = random.integers(half, self.vocabulary, size=inputs.shape, dtype=np.int32)
        inputs[:, 0 : 2 * pairs : 2] = keys
        inputs[:, 1 : 2 * pairs : 2] = values
        np.put_along_axis(inputs, positions, keys, axis=1)
        return Batch(inputs, values, np.ones(values.shape), positions=positions)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B P"]]:
        """How far before a query the value stands that it asks for."""
        asked = np.asarray(batch.positions)
        return {"distance": asked - (2 * np.arange(asked.shape[1]) + 1)}

    def shown_chance(self, split: Split, length: int) -> float:
        """1 / ``pairs``: the values of an example are different ones."""
        return 1 / self.pairs


class MultiHopRecall(GeneratedTask):
    """Pairs, each of which says what follows a token: answer with what lies some hops on.

    The sequence begins with ``chains`` chains of ``hops`` pairs, ``a b``, ``b c`` and so on, all in
    one random order; at its end stands the first token of each chain, where the target is the
    chain's last (induction over k hops, Sanford et al. 2024, on pairs). In between lie blanks. All
    tokens of an example's chains are different. Token 0 is blank.

    Args:
      vocabulary: the number of tokens V.
      chains: how many there are, and questions.
      hops: the pairs of a chain; 1 is recall.

    >>> task = MultiHopRecall(seed=0, vocabulary=10, chains=2, hops=2)
    >>> batch = task.batch("train", step=0, batch_size=1, length=11)
    >>> batch.inputs.tolist(), batch.targets.tolist(), batch.positions.tolist()
    ([[1, 8, 6, 4, 8, 3, 4, 7, 0, 1, 6]], [[3, 7]], [[9, 10]])
    """

    def __init__(
        self,
        seed: int,
        vocabulary: int = 256,
        chains: int = 4,
        hops: int = 2,
        evaluation_examples: int = 1000,
    ):
        require_least(1, chains=chains, hops=hops)
        tokens = chains * (hops + 1)
        require(
            vocabulary > tokens,
            f"vocabulary={vocabulary} is not above the {tokens} tokens of {chains} chains of "
            f"{hops + 1}",
        )
        super().__init__(seed, evaluation_examples)
        self.chains, self.hops = chains, hops
        self.tokens = self.answers = vocabulary - 1
        self.spec = TaskSpec("many-to-many", "tokens", input_size=vocabulary, outputs=vocabulary)

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Tokens [B, L]; the chains' last tokens at the last ``chains`` positions."""
        n, hops = self.chains, self.hops
        least = 2 * n * hops + n
        require_length(
            self, length, length >= least, f"{n} chains and questions take at least {least}"
        )
        chains = 1 + choose(random, self.tokens, batch_size, n * (hops + 1))
        chains = chains.reshape(batch_size, n, hops + 1)
        pairs = np.stack([chains[..., :-1], chains[..., 1:]], axis=3).reshape(batch_size, -1, 2)
        order = random.permuted(np.tile(np.arange(n * hops), (batch_size, 1)), axis=1)
        pairs = np.take_along_axis(pairs, order[:, :, None], axis=1)
        inputs = np.zeros((batch_size, length), np.int32)
        inputs[:, : 2 * n * hops] = pairs.reshape(batch_size, -1)
        inputs[:, length - n :] = chains[:, :, 0]
        positions = np.tile(np.arange(length - n, length, dtype=np.int32), (batch_size, 1))
        targets = np.ascontiguousarray(chains[:, :, -1])
        return Batch(inputs, targets, np.ones(targets.shape), positions=positions)

    def shown_chance(self, split: Split, length: int) -> float:
        """1 / ``chains``: what is said of nothing else ends a chain."""
        return 1 / self.chains


class PhoneBook(GeneratedTask):
    """Names with their numbers, and at the end a name: write its number, digit by digit.

    Phone-book lookup (Jelassi et al. 2024, Repeat After Me), as many entries as fit into the
    length. A name is some letters, a number some digits; a digit is the target at the position
    before it, with the digits before it given. What is left over is blank, at the beginning.
    Tokens: 0 is blank, 1 to 10 are digits, 11 to 36 letters.

    Args:
      letters: of a name; no two names of an example are alike.
      digits: of a number.

    >>> task = PhoneBook(seed=0, letters=2, digits=2)
    >>> batch = task.batch("train", step=0, batch_size=1, length=12)
    >>> batch.inputs.tolist(), batch.targets.tolist(), batch.positions.tolist()
    ([[0, 17, 20, 4, 9, 35, 29, 5, 9, 17, 20, 4]], [[4, 9]], [[10, 11]])
    """

    answers = DIGITS

    def __init__(
        self, seed: int, letters: int = 4, digits: int = 4, evaluation_examples: int = 1000
    ):
        require(1 <= letters <= MOST_LETTERS, f"letters={letters} is not from 1 to {MOST_LETTERS}")
        require_least(1, digits=digits)
        super().__init__(seed, evaluation_examples)
        self.letters, self.digits = letters, digits
        tokens = 1 + DIGITS + LETTERS
        self.spec = TaskSpec("many-to-many", "tokens", tokens, tokens, causal=True)

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Tokens [B, L]; the digits [B, digits] that are asked for, at the last positions."""
        size = self.letters + self.digits
        entries = (length - size + 1) // size
        names = LETTERS**self.letters
        require_length(
            self,
            length,
            1 <= entries <= names,
            f"an entry and the question take at least {2 * size - 1}; there are {names:,} names",
        )
        drawn = choose(random, names, batch_size, entries)
        powers = LETTERS ** np.arange(self.letters)[::-1]
        spelt = 1 + DIGITS + drawn[:, :, None] // powers[None, None] % LETTERS
        numbers = random.integers(1, 1 + DIGITS, (batch_size, entries, self.digits), np.int32)
        book = np.concatenate([spelt.astype(np.int32), numbers], axis=2)
        asked = book[np.arange(batch_size), random.integers(0, entries, batch_size)]
        inputs = np.zeros((batch_size, length), np.int32)
        inputs[:, length - size + 1 :] = asked[:, :-1]
        end = length - size + 1
        inputs[:, end - entries * size : end] = book.reshape(batch_size, -1)
        positions = np.arange(length - self.digits, length, dtype=np.int32)
        targets = np.ascontiguousarray(asked[:, self.letters :])
        positions = np.tile(positions, (batch_size, 1))
        return Batch(inputs, targets, np.ones(targets.shape), positions=positions)
