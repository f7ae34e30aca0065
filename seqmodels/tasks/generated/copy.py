"""Copying: hold a pattern over a distance, or all that is read, then say it."""

import numpy as np
from numpy.random import Generator

from seqmodels.arrays import Int
from seqmodels.errors import require_least
from seqmodels.tasks.base import Batch, Split, TaskSpec, require_length
from seqmodels.tasks.generated.task import GeneratedTask


class Copy(GeneratedTask):
    """Read a pattern, wait, and say it again when asked.

    The input is ``pattern`` symbols, blanks, and at the end a "now" token for each
    symbol; the symbols are the targets there (Hochreiter and Schmidhuber 1997,
    Arjovsky et al. 2016). Tokens: 0 is blank, 1 to ``symbols`` are symbols,
    ``symbols + 1`` is "now".

    Args:
      pattern: the number of symbols to remember.
      symbols: the number of different symbols.

    >>> batch = Copy(seed=0, pattern=2, symbols=8).batch("train", 0, batch_size=1, length=6)
    >>> batch.inputs.tolist(), batch.targets.tolist(), batch.positions.tolist()
    ([[3, 5, 0, 0, 9, 9]], [[3, 5]], [[4, 5]])
    """

    def __init__(
        self, seed: int, pattern: int = 10, symbols: int = 8, evaluation_examples: int = 1000
    ):
        require_least(1, pattern=pattern)
        require_least(2, symbols=symbols)
        super().__init__(seed, evaluation_examples)
        self.pattern = pattern
        self.symbols = self.answers = symbols
        self.spec = TaskSpec("many-to-many", "tokens", input_size=symbols + 2, outputs=symbols + 2)

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Tokens [B, L]; targets at the last ``pattern`` positions."""
        n = self.pattern
        require_length(self, length, length >= 2 * n, f"a pattern of {n} takes at least {2 * n}")
        symbols = random.integers(1, self.symbols + 1, size=(batch_size, n), dtype=np.int32)
        inputs = np.zeros((batch_size, length), np.int32)
        inputs[:, :n] = symbols
        inputs[:, -n:] = self.symbols + 1
        positions = np.tile(np.arange(length - n, length, dtype=np.int32), (batch_size, 1))
        return Batch(inputs, symbols, np.ones(symbols.shape), positions=positions)


class Palindrome(GeneratedTask):
    """Read symbols and say them from the last to the first, each with those before it given.

    As the Kimi Team has it (2025, Kimi Linear, section 5.1): half of the sequence is read, then
    comes a token that asks, and the symbols once more, backwards. A symbol is the target at the
    position before it. Tokens: 0 asks, 1 to ``symbols`` are symbols.

    Args:
      symbols: the number of different symbols.

    >>> batch = Palindrome(seed=0, symbols=8).batch("train", 0, batch_size=1, length=6)
    >>> batch.inputs.tolist(), batch.targets.tolist(), batch.positions.tolist()
    ([[3, 5, 6, 0, 6, 5]], [[6, 5, 3]], [[3, 4, 5]])
    """

    def __init__(self, seed: int, symbols: int = 64, evaluation_examples: int = 1000):
        require_least(2, symbols=symbols)
        super().__init__(seed, evaluation_examples)
        self.symbols = self.answers = symbols
        self.spec = TaskSpec("many-to-many", "tokens", symbols + 1, symbols + 1, causal=True)

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Tokens [B, L]; the symbols backwards [B, L / 2], from the middle on."""
        n, rest = divmod(length, 2)
        require_length(self, length, rest == 0 and n >= 1, "an even number, at least 2")
        symbols = random.integers(1, self.symbols + 1, (batch_size, n), np.int32)
        backwards = symbols[:, ::-1]
        asks = np.zeros((batch_size, 1), np.int32)
        inputs = np.concatenate([symbols, asks, backwards[:, :-1]], axis=1)
        positions = np.tile(np.arange(n, length, dtype=np.int32), (batch_size, 1))
        return Batch(inputs, backwards, np.ones(backwards.shape), positions=positions)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B P"]]:
        """How far before the position that asks for it a symbol was read."""
        asked = np.asarray(batch.positions)
        return {"distance": 1 + 2 * (asked - asked[:, :1])}
