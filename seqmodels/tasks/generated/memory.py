"""Memory over a distance: hold, select, add, and find again."""

import numpy as np
from numpy.random import Generator

from seqmodels.arrays import Array, Float, Int
from seqmodels.errors import require_least
from seqmodels.tasks.base import Batch, Metrics, Split, TaskSpec, regression_metrics, require_length
from seqmodels.tasks.generated.task import GeneratedTask
from seqmodels.tasks.sampling import choose


class DelayedCopy(GeneratedTask):
    """Read symbols for as long as the sequence lasts, wait, and say all of them again.

    Unlike in ``copy`` what must be held grows with the length: (length - delay) / 2 symbols,
    then ``delay`` blanks, then a "now" token for each symbol, where it is the target. Tokens: 0 is
    blank, 1 to ``symbols`` are symbols, ``symbols + 1`` is "now".

    Args:
      delay: the number of blanks.
      symbols: the number of different symbols.

    >>> batch = DelayedCopy(seed=0, delay=2).batch("train", 0, batch_size=1, length=8)
    >>> batch.inputs.tolist(), batch.targets.tolist(), batch.positions.tolist()
    ([[2, 2, 3, 0, 0, 9, 9, 9]], [[2, 2, 3]], [[5, 6, 7]])
    """

    def __init__(
        self, seed: int, delay: int = 16, symbols: int = 8, evaluation_examples: int = 1000
    ):
        require_least(0, delay=delay)
        require_least(2, symbols=symbols)
        super().__init__(seed, evaluation_examples)
        self.delay = delay
        self.symbols = self.answers = symbols
        self.spec = TaskSpec("many-to-many", "tokens", symbols + 2, symbols + 2)

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Tokens [B, L]; the targets are the symbols, at the "now" tokens."""
        n, rest = divmod(length - self.delay, 2)
        why = f"{self.delay} blanks and twice as many positions as there are symbols, at least 1"
        require_length(self, length, n >= 1 and rest == 0, why)
        symbols = random.integers(1, self.symbols + 1, (batch_size, n), np.int32)
        inputs = np.zeros((batch_size, length), np.int32)
        inputs[:, :n] = symbols
        inputs[:, length - n :] = self.symbols + 1
        positions = np.tile(np.arange(length - n, length, dtype=np.int32), (batch_size, 1))
        return Batch(inputs, symbols, np.ones(symbols.shape), positions=positions)


class SelectiveCopy(GeneratedTask):
    """Say the symbols again in their order, whatever blanks stood between them.

    Selective copying (Gu and Dao 2023, section 4.1): ``pattern`` symbols lie at random places among
    blanks; a "now" token for each of them ends the sequence. Tokens as in ``copy``: 0 is
    blank, ``symbols + 1`` is "now".

    Args:
      pattern: the number of symbols to remember.
      symbols: the number of different symbols.

    >>> batch = SelectiveCopy(seed=0, pattern=2).batch("train", 0, batch_size=1, length=8)
    >>> batch.inputs.tolist(), batch.targets.tolist(), batch.positions.tolist()
    ([[3, 0, 4, 0, 0, 0, 15, 15]], [[3, 4]], [[6, 7]])
    """

    def __init__(
        self, seed: int, pattern: int = 16, symbols: int = 14, evaluation_examples: int = 1000
    ):
        require_least(1, pattern=pattern)
        require_least(2, symbols=symbols)
        super().__init__(seed, evaluation_examples)
        self.pattern = pattern
        self.symbols = self.answers = symbols
        self.spec = TaskSpec("many-to-many", "tokens", symbols + 2, symbols + 2)

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Tokens [B, L]; the targets are the symbols, at the "now" tokens."""
        n = self.pattern
        require_length(self, length, length >= 2 * n, f"a pattern of {n} takes at least {2 * n}")
        symbols = random.integers(1, self.symbols + 1, (batch_size, n), np.int32)
        places = choose(random, length - n, batch_size, n)
        inputs = np.zeros((batch_size, length), np.int32)
        np.put_along_axis(inputs, np.sort(places, axis=1), symbols, axis=1)
        inputs[:, -n:] = self.symbols + 1
        positions = np.tile(np.arange(length - n, length, dtype=np.int32), (batch_size, 1))
        return Batch(inputs, symbols, np.ones(symbols.shape), positions=positions)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B P"]]:
        """How far before the "now" token the symbol stands that it asks for."""
        asked = np.asarray(batch.positions)
        symbol = (np.asarray(batch.inputs) > 0) & (np.asarray(batch.inputs) <= self.symbols)
        places = np.argsort(~symbol, axis=1, kind="stable")[:, : asked.shape[1]]
        return {"distance": asked - places}


class Adding(GeneratedTask):
    """Add the two numbers that are marked, one in each half of the sequence.

    The adding problem (Hochreiter and Schmidhuber 1997, in the form of Le et al. 2015): a position
    holds a number drawn evenly from 0 to 1 and a mark, 1 at two positions and 0 elsewhere. The
    score is the mean squared error of the sum.

    >>> batch = Adding(seed=0).batch("train", 0, batch_size=1, length=4)
    >>> batch.inputs[0].astype(float).round(2).tolist(), batch.targets.astype(float).round(2)
    ([[0.72, 0.0], [0.55, 1.0], [0.57, 1.0], [0.39, 0.0]], array([1.13]))
    """

    spec = TaskSpec(
        "many-to-one",
        "features",
        input_size=2,
        outputs=1,
        score="squared_error",
        higher_is_better=False,
    )

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Numbers and marks [B, L, 2]; sums [B]."""
        require_length(self, length, length >= 2, "two numbers take at least 2")
        numbers = random.random((batch_size, length), np.float32)
        middle = length // 2
        marked = [
            random.integers(0, middle, batch_size),
            random.integers(middle, length, batch_size),
        ]
        rows = np.arange(batch_size)
        marks = np.zeros((batch_size, length), np.float32)
        for places in marked:
            marks[rows, places] = 1.0
        sums = numbers[rows, marked[0]] + numbers[rows, marked[1]]
        return Batch(np.stack([numbers, marks], axis=-1), sums, np.ones(batch_size))

    def metrics(self, outputs: Float[Array, "B 1"], batch: Batch) -> Metrics:
        """The squared error, and the share of sums that are right to within 0.04."""
        return regression_metrics(outputs, batch, tolerance=0.04)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B"]]:
        """How far apart the two marks are."""
        marked = np.asarray(batch.inputs)[..., 1] > 0
        first, last_backwards = marked.argmax(axis=1), marked[:, ::-1].argmax(axis=1)
        return {"distance": marked.shape[1] - 1 - last_backwards - first}

    def chance(self, split: Split, length: int) -> float:
        """1/6, the variance of the sum of two even numbers from 0 to 1."""
        return 1 / 6


class InductionHeads(GeneratedTask):
    """What came after this token before? Say it.

    Induction heads (Olsson et al. 2022, in the form of Gu and Dao 2023, section 4.1.2): random
    tokens, among them once a special one; it also ends the sequence, and the target there is the
    token that followed it. Token 0 is the special one.

    Args:
      vocabulary: the number of tokens V, the special one included.

    >>> batch = InductionHeads(seed=0).batch("train", 0, batch_size=1, length=8)
    >>> batch.inputs.tolist(), batch.targets.tolist(), batch.positions.tolist()
    ([[0, 4, 5, 7, 9, 4, 15, 0]], [[4]], [[7]])
    """

    def __init__(self, seed: int, vocabulary: int = 16, evaluation_examples: int = 1000):
        require_least(3, vocabulary=vocabulary)
        super().__init__(seed, evaluation_examples)
        self.vocabulary = vocabulary
        self.answers = vocabulary - 1
        self.spec = TaskSpec("many-to-many", "tokens", vocabulary, vocabulary)

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Tokens [B, L]; the target [B, 1] at the last position."""
        require_length(self, length, length >= 3, "the special token twice, and one between")
        inputs = random.integers(1, self.vocabulary, (batch_size, length), np.int32)
        places = random.integers(0, length - 2, (batch_size, 1))
        np.put_along_axis(inputs, places, 0, axis=1)
        inputs[:, -1] = 0
        targets = np.take_along_axis(inputs, places + 1, axis=1)
        positions = np.full((batch_size, 1), length - 1, np.int32)
        return Batch(inputs, targets, np.ones(targets.shape), positions=positions)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B P"]]:
        """How far before the last token the answer stands."""
        return {"distance": _after_first_zero(batch)}


class Needle(GeneratedTask):
    """Find one answer in a stack of other tokens, exactly so many positions back.

    Random tokens; somewhere a mark with the answer after it; the last token asks for it. The
    answer lies ``distance`` positions before the question. Token 0 is the mark, 1 the question,
    the others are answers and hay alike.

    Args:
      vocabulary: the number of tokens V.
      distance: how far back the answer lies; None draws it evenly from 1 on.

    >>> batch = Needle(seed=0, distance=4).batch("train", 0, batch_size=1, length=8)
    >>> batch.inputs.tolist(), batch.targets.tolist(), batch.positions.tolist()
    ([[4, 5, 0, 7, 9, 5, 15, 1]], [[7]], [[7]])
    """

    def __init__(
        self,
        seed: int,
        vocabulary: int = 16,
        distance: int | None = None,
        evaluation_examples: int = 1000,
    ):
        require_least(4, vocabulary=vocabulary)
        require_least(1, distance=distance)
        super().__init__(seed, evaluation_examples)
        self.vocabulary = vocabulary
        self.answers = vocabulary - 2
        self.distance = distance
        self.spec = TaskSpec("many-to-many", "tokens", vocabulary, vocabulary)

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Tokens [B, L]; the target [B, 1] at the last position."""
        least = 2 + (self.distance or 1)
        why = f"an answer {self.distance or 1} back and its mark take at least {least}"
        require_length(self, length, length >= least, why)
        inputs = random.integers(2, self.vocabulary, (batch_size, length), np.int32)
        distance = random.integers(1, length - 1, (batch_size, 1))
        if self.distance is not None:
            distance = np.full((batch_size, 1), self.distance)
        places = length - 1 - distance
        np.put_along_axis(inputs, places - 1, 0, axis=1)
        inputs[:, -1] = 1
        targets = np.take_along_axis(inputs, places, axis=1)
        positions = np.full((batch_size, 1), length - 1, np.int32)
        return Batch(inputs, targets, np.ones(targets.shape), positions=positions)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B P"]]:
        """How far before the question the answer lies."""
        return {"distance": _after_first_zero(batch)}


def _after_first_zero(batch: Batch) -> Int[np.ndarray, "B 1"]:
    """How far before the labelled position the token after the first 0 stands."""
    zero = (np.asarray(batch.inputs) == 0).argmax(axis=1)
    return np.asarray(batch.positions) - (zero[:, None] + 1)
