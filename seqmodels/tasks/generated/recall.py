"""Multi-query associative recall: look up what was said about a key."""

from typing import Literal

import numpy as np
from numpy.random import Generator

from seqmodels.arrays import Int
from seqmodels.errors import require, require_least
from seqmodels.tasks.base import Batch, Split, TaskSpec, require_length
from seqmodels.tasks.generated.task import GeneratedTask
from seqmodels.tasks.sampling import choose


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
