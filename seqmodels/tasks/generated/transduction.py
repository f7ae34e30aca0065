"""Sequence-to-sequence on strings: reverse, sort, copy, duplicate, reorder, and drive a stack."""

import math

import numpy as np
from numpy.random import Generator

from seqmodels.arrays import AnyArray, Int
from seqmodels.errors import require, require_least
from seqmodels.tasks.base import Batch, Split, TaskSpec, require_length, until
from seqmodels.tasks.generated.task import GeneratedTask


class _Written(GeneratedTask):
    """A task whose sources are words with spaces between them; the last token that is written ends
    a target."""

    words: tuple[str, ...]
    """Those of the tokens that are read."""

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B"]]:
        """How many words a source has."""
        return {"length": np.asarray(batch.mask).sum(axis=1)}

    def show_source(self, row: Int[AnyArray, "L"]) -> str:
        return " ".join(self.words[token] for token in np.asarray(row))

    def show_target(self, row: Int[AnyArray, "P"]) -> str:
        return " ".join(map(str, until(row, self.spec.outputs - 1)))

    def read_source(self, text: str) -> Int[np.ndarray, "L"]:
        words, most = text.split(), len(self.words)
        wrong = [word for word in words if word not in self.words]
        known = ", ".join(self.words if most < 12 else (*self.words[:2], "...", self.words[-1]))
        require(not wrong, f"{wrong[:1]} is no word of this task; known: {known}")
        require(len(words) > 0, f"{text!r} holds no word; write some of {known}")
        return np.array([self.words.index(word) for word in words], np.int32)


class _Transduction(_Written):
    """A string of random symbols to another, as long or twice as long, and an end token.

    Symbols are 0 to ``symbols`` - 1, the end token is ``symbols``. In training every
    source has its own length, evenly from ``shortest`` to the length asked for; in validation
    and test every source has exactly that length, so that scores at several lengths make a curve.

    The score is exact match, of targets that the model is given up to each token. It equals the
    exact match of what the model writes greedily: a row is written rightly if and only if each
    likeliest token after the true ones is right.

    Args:
      symbols: the number of different symbols.
      shortest: the shortest source in training.
    """

    times = 1
    """How many times as long as its source a target is."""

    def __init__(
        self, seed: int, symbols: int = 10, shortest: int = 1, evaluation_examples: int = 1000
    ):
        require_least(2, symbols=symbols)
        require_least(1, shortest=shortest)
        super().__init__(seed, evaluation_examples)
        self.symbols = symbols
        self.words = tuple(map(str, range(symbols)))
        self.shortest = shortest
        self.spec = TaskSpec(
            "sequence-to-sequence",
            "tokens",
            input_size=symbols,
            outputs=symbols + 1,
            score="exact_match",
            end=symbols,
        )

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Sources [B, L] with their mask; targets [B, times * L + 1], the end token included."""
        require_length(
            self, length, length >= self.shortest, f"shortest={self.shortest} is the least"
        )
        source = random.integers(0, self.symbols, (batch_size, length), dtype=np.int32)
        lengths = np.full(batch_size, length)
        if split == "train":
            lengths = random.integers(self.shortest, length + 1, batch_size)
        mask = np.arange(length)[None] < lengths[:, None]
        places, ends = np.arange(self.times * length + 1)[None], self.times * lengths[:, None]
        written = places[:, :-1] < ends
        targets = np.full((batch_size, self.times * length + 1), self.symbols, np.int32)
        targets[:, :-1][written] = self._transduce(source, mask, lengths)[written]
        weights = places <= ends
        return Batch(np.where(mask, source, 0), targets, weights, mask)

    def chance(self, split: Split, length: int) -> float:
        """The share of the most frequent target; in training it is one of the shortest."""
        if split == "train":
            return self._most_frequent(self.shortest) / (length + 1 - self.shortest)
        return self._most_frequent(length)

    def _most_frequent(self, length: int) -> float:
        """The share of the most frequent target of a length: all strings are as likely."""
        return float(self.symbols) ** -length

    def _transduce(self, source: np.ndarray, mask: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """The targets [B, times * L]; what lies past a row's end is not read."""
        raise NotImplementedError


class Reverse(_Transduction):
    """Write a string backwards: what was read first is needed last.

    >>> batch = Reverse(seed=0, symbols=5).batch("test", step=0, batch_size=1, length=4)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[2, 3, 3, 4]], [[4, 3, 3, 2, 5]])
    """

    def _transduce(self, source, mask, lengths):
        places = lengths[:, None] - 1 - np.arange(source.shape[1])[None]
        return np.take_along_axis(source, np.maximum(places, 0), axis=1)


class Sort(_Transduction):
    """Write a string's symbols in order: each depends on all of the source.

    Bucket sort of Delétang et al. 2022, where there are 5 symbols.

    >>> batch = Sort(seed=0, symbols=5).batch("test", step=0, batch_size=1, length=4)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[2, 3, 3, 4]], [[2, 3, 3, 4, 5]])
    """

    def _transduce(self, source, mask, lengths):
        return np.sort(np.where(mask, source, self.symbols), axis=1)

    def _most_frequent(self, length):
        """Of the strings with each symbol as often as any other, as far as that works out."""
        each, more = divmod(length, self.symbols)
        orders = math.lgamma(length + 1) - self.symbols * math.lgamma(each + 1)
        orders -= more * math.log(each + 1)
        return math.exp(orders - length * math.log(self.symbols))


class CopyString(_Transduction):
    """Write a string again.

    >>> batch = CopyString(seed=0, symbols=5).batch("test", step=0, batch_size=1, length=4)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[2, 3, 3, 4]], [[2, 3, 3, 4, 5]])
    """

    def _transduce(self, source, mask, lengths):
        return source


class Compression(CopyString):
    """Write a string of a fixed length again, from one vector: how much does a state hold?

    Compression of MAD (Poli et al. 2024), where an MLP reads the vector at each position; here it
    is the summary of an encoder (``pooling="last"``, ``cross="none"``), and a decoder writes.
    Every source has all of the length, also in training.

    >>> batch = Compression(seed=0, symbols=5).batch("train", step=0, batch_size=1, length=4)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[3, 2, 2, 1]], [[3, 2, 2, 1, 5]])
    """

    def __init__(self, seed: int, symbols: int = 15, evaluation_examples: int = 1280):
        super().__init__(seed, symbols, 1, evaluation_examples)

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        return super().draw(random, "validation", batch_size, length)

    def chance(self, split: Split, length: int) -> float:
        return super().chance("validation", length)


class Duplicate(_Transduction):
    """Write a string twice (Delétang et al. 2022).

    >>> batch = Duplicate(seed=0, symbols=5).batch("test", step=0, batch_size=1, length=3)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[2, 1, 3]], [[2, 1, 3, 2, 1, 3, 5]])
    """

    times = 2

    def _transduce(self, source, mask, lengths):
        places = np.arange(2 * source.shape[1])[None] % lengths[:, None]
        return np.take_along_axis(source, places, axis=1)


class OddsFirst(_Transduction):
    """Write the symbols at odd places, the first, third and so on, and then the others.

    (Delétang et al. 2022.)

    >>> batch = OddsFirst(seed=0, symbols=5).batch("test", step=0, batch_size=1, length=5)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[4, 2, 1, 3, 3]], [[4, 1, 3, 2, 3, 5]])
    """

    def _transduce(self, source, mask, lengths):
        places = np.arange(source.shape[1])[None]
        odd = (lengths[:, None] + 1) // 2
        chosen = np.where(places < odd, 2 * places, 2 * (places - odd) + 1)
        return np.take_along_axis(source, np.minimum(chosen, source.shape[1] - 1), axis=1)


class StackManipulation(_Written):
    """Carry out pushes and pops on a stack of 0s and 1s, and write it from its top.

    The source (Delétang et al. 2022) is a stack, from its bottom, of a random length, and then at
    least one action (but a source of one token is a stack): token 2 pops (an empty stack stays
    empty), 3 pushes a 0, 4 pushes a 1. In training sources have 1 to ``length`` tokens, in
    validation and test exactly ``length``.

    >>> task = StackManipulation(seed=0)
    >>> batch = task.batch("test", step=0, batch_size=1, length=5)
    >>> task.show_source(batch.inputs[0]), task.show_target(batch.targets[0])
    ('0 0 0 0 push0', '0 0 0 0 0')
    """

    words = ("0", "1", "pop", "push0", "push1")
    spec = TaskSpec(
        "sequence-to-sequence", "tokens", input_size=5, outputs=3, score="exact_match", end=2
    )

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Sources [B, L] with their mask; targets [B, L + 1], the end token included."""
        require_length(self, length, length >= 1, "a stack has at least 1 symbol")
        lengths = np.full(batch_size, length)
        if split == "train":
            lengths = random.integers(1, length + 1, batch_size)
        heights = random.integers(1, np.maximum(lengths, 2))
        places = np.arange(length)[None]
        mask = places < lengths[:, None]
        symbols = random.integers(0, 2, (batch_size, length), np.int32)
        actions = random.integers(2, 5, (batch_size, length), np.int32)
        first = places < heights[:, None]
        source = np.where(first, symbols, actions)
        pops = source == 2
        steps = np.where(mask, 1 - 2 * pops, 0)
        heights = steps.cumsum(axis=1)
        # An empty stack stays empty: what it would fall below 0 counts as if it had been there.
        heights -= np.minimum(np.minimum.accumulate(heights, axis=1), 0)
        height = heights[:, -1]
        # At each height lies what was pushed there last.
        rows, when = (mask & ~pops).nonzero()
        stack = np.zeros((batch_size, length), np.int32)
        stack[rows, heights[rows, when] - 1] = np.where(first, symbols, actions - 3)[rows, when]
        targets = np.full((batch_size, length + 1), self.spec.end, np.int32)
        written = places < height[:, None]
        from_top = np.take_along_axis(stack, np.maximum(height[:, None] - 1 - places, 0), axis=1)
        targets[:, :-1][written] = from_top[written]
        weights = np.arange(length + 1)[None] <= height[:, None]
        return Batch(np.where(mask, source, 0), targets, weights, mask)
