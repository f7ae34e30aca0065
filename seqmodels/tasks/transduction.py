"""Sequence-to-sequence on strings of symbols: reverse them, sort them, copy them."""

import numpy as np

from seqmodels.arrays import AnyArray, Array, Float, Int
from seqmodels.errors import require
from seqmodels.tasks.base import (
    Batch,
    GeneratedTask,
    Metrics,
    Split,
    TaskSpec,
    exact_match_metrics,
    require_length,
    until,
)


class _Transduction(GeneratedTask):
    """A string of random symbols to another of the same length, and an end token.

    Symbols are 0 to ``symbols`` - 1, the end token is ``symbols``. In training every
    source has its own length, evenly from ``shortest`` to the length asked for; in validation
    and test every source has exactly that length, so that scores at several lengths make a curve.

    The score is exact match, of targets that the model is given up to each token. It equals the
    exact match of what the model writes greedily: a row is written rightly if and only if each
    likeliest token after the true ones is right.

    Args:
      seed: which examples are drawn.
      symbols: the number of different symbols.
      shortest: the shortest source in training.
      evaluation_examples: the size of the validation and of the test split.
    """

    name: str
    """Its name in TASKS, for messages."""

    def __init__(
        self, seed: int, symbols: int = 10, shortest: int = 1, evaluation_examples: int = 1000
    ):
        require(symbols >= 2, f"symbols={symbols} is not at least 2")
        require(shortest >= 1, f"shortest={shortest} is not at least 1")
        super().__init__(seed, evaluation_examples)
        self.symbols = symbols
        self.shortest = shortest
        self.spec = TaskSpec(
            shape="sequence-to-sequence",
            inputs="tokens",
            input_size=symbols,
            outputs=symbols + 1,
            causal=False,
            score="exact_match",
            higher_is_better=True,
            end=symbols,
        )

    def draw(
        self, random: np.random.Generator, split: Split, batch_size: int, length: int
    ) -> Batch:
        """Sources [B, L] with their mask; targets [B, L + 1], the end token included."""
        require_length(
            length, length >= self.shortest, self.name, f"shortest={self.shortest} is the least"
        )
        source = random.integers(0, self.symbols, (batch_size, length), dtype=np.int32)
        lengths = np.full(batch_size, length)
        if split == "train":
            lengths = random.integers(self.shortest, length + 1, batch_size)
        places = np.arange(length + 1)[None]
        mask = places[:, :-1] < lengths[:, None]
        targets = np.full((batch_size, length + 1), self.symbols, np.int32)
        targets[:, :-1][mask] = self._transduce(source, mask, lengths)[mask]
        weights = places <= lengths[:, None]
        return Batch(np.where(mask, source, 0), targets, weights, mask)

    def metrics(self, outputs: Float[Array, "B P V"], batch: Batch) -> Metrics:
        """Cross-entropy, accuracy a token, and the share of strings wholly right."""
        return exact_match_metrics(outputs, batch)

    def show_source(self, row: Int[AnyArray, "L"]) -> str:
        """A source as text."""
        return " ".join(map(str, np.asarray(row).tolist()))

    def show_target(self, row: Int[AnyArray, "P"]) -> str:
        """What is written, as text, up to the end token."""
        return " ".join(map(str, until(row, self.symbols)))

    def read_source(self, text: str) -> Int[np.ndarray, "L"]:
        """A source from text: symbols with spaces between them."""
        words = text.split()
        known = {str(symbol) for symbol in range(self.symbols)}
        wrong = [word for word in words if word not in known]
        require(not wrong, f"{wrong[:1]} is no symbol; write 0 to {self.symbols - 1} with spaces")
        require(len(words) > 0, f"{text!r} holds no symbol; write some, such as '3 1 4'")
        return np.array([int(word) for word in words], np.int32)

    def _transduce(self, source: np.ndarray, mask: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """The targets [B, L], where the mask is True."""
        raise NotImplementedError


class Reverse(_Transduction):
    """Write a string backwards: what was read first is needed last.

    >>> batch = Reverse(seed=0, symbols=5).batch("test", step=0, batch_size=1, length=4)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[2, 3, 3, 4]], [[4, 3, 3, 2, 5]])
    """

    name = "reverse"

    def _transduce(self, source, mask, lengths):
        places = lengths[:, None] - 1 - np.arange(source.shape[1])[None]
        return np.take_along_axis(source, np.maximum(places, 0), axis=1)


class Sort(_Transduction):
    """Write a string's symbols in order: each depends on all of the source.

    >>> batch = Sort(seed=0, symbols=5).batch("test", step=0, batch_size=1, length=4)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[2, 3, 3, 4]], [[2, 3, 3, 4, 5]])
    """

    name = "sort"

    def _transduce(self, source, mask, lengths):
        return np.sort(np.where(mask, source, self.symbols), axis=1)


class CopyString(_Transduction):
    """Write a string again.

    >>> batch = CopyString(seed=0, symbols=5).batch("test", step=0, batch_size=1, length=4)
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[2, 3, 3, 4]], [[2, 3, 3, 4, 5]])
    """

    name = "copy_string"

    def _transduce(self, source, mask, lengths):
        return source
