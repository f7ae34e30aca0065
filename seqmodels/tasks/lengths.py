"""The length of each training step: always the same, or drawn, and padded to a few shapes."""

from typing import Literal, NamedTuple

import numpy as np

from seqmodels.arrays import Int
from seqmodels.errors import ParameterError, require
from seqmodels.tasks.base import Batch, Task, read_rows
from seqmodels.tasks.buckets import bucket, can_make, nearest_length, pad

Kind = Literal["uniform", "powers", "curriculum"]

STREAM = 0x1E46
"""Sets the random numbers of lengths apart from those of a task's batches."""


class StepBatch(NamedTuple):
    """What a training step takes."""

    batch: Batch
    length: int
    """How long the sequences are."""
    bucket: int
    """The length that they are padded to."""


class Lengths:
    """How long the sequences of each training step are; all rows of a batch are equally long.

    A length is a pure function of the seed and the step. With ``kind`` None it is ``longest``.
    Otherwise it is drawn from ``shortest`` to ``longest``:

    - "uniform": each as likely;
    - "powers": the powers of two among them, each as likely;
    - "curriculum": each as likely up to a limit, which rises evenly from ``shortest`` at the first
      of ``curriculum_steps`` steps to ``longest`` at the last of them;

    and where the task can't make it, the nearest that it can stands in. Batches of drawn lengths
    are padded to their bucket (:mod:`seqmodels.tasks.buckets`), so that ``buckets`` holds all the
    shapes, and their number is that of the programs to compile.

    Raises:
      ParameterError: the task, or the range, has no other lengths to draw.

    >>> from seqmodels.tasks import TASKS
    >>> lengths = Lengths(TASKS["parity"](seed=0), 0, 4, 64, "uniform", shortest=8)
    >>> [lengths.at(step) for step in range(5)], lengths.buckets
    ([59, 55, 12, 36, 38], (8, 16, 32, 64))
    """

    def __init__(
        self,
        task: Task,
        seed: int,
        batch_size: int,
        longest: int,
        kind: Kind | None = None,
        shortest: int | None = None,
        curriculum_steps: int | None = None,
    ):
        self.task = task
        self.seed = seed
        self.batch_size = batch_size
        self.longest = self.shortest = longest
        self.kind: Kind | None = kind
        self.curriculum_steps = curriculum_steps
        self.buckets: tuple[int, ...] = (longest,)
        if kind is None:
            return
        assert shortest is not None
        self._require_lengths(shortest)
        self.shortest = next(n for n in range(shortest, longest + 1) if can_make(task, n))
        require(
            self.shortest < longest or shortest == longest,
            f"lengths={kind!r}: the task makes no length from {shortest} to {longest - 1}; "
            "set lengths and shortest to None",
        )
        self._powers = [1 << n for n in range(longest.bit_length()) if self.shortest <= 1 << n]
        require(
            kind != "powers" or len(self._powers) > 0,
            f"lengths='powers': there is no power of two from {self.shortest} to {longest}; "
            "set another shortest",
        )
        self.buckets = self._all_buckets()
        self._shapes = {length: task.batch("train", 0, 1, length) for length in self.buckets}

    def _require_lengths(self, shortest: int) -> None:
        spec = self.task.spec
        if spec.rank > 1:
            why = "takes a task on sequences; this one is on grids, whose sides are its own"
        elif spec.shape == "one-to-many":
            why = "takes a task that reads a sequence; this one writes one from a single input"
        elif shortest > self.longest:
            raise ParameterError(f"shortest={shortest} is above length={self.longest}")
        else:
            return
        raise ParameterError(f"lengths={self.kind!r} {why}; set lengths and shortest to None")

    def _all_buckets(self) -> tuple[int, ...]:
        if self.kind == "powers":
            made = {self._made(power) for power in self._powers}
            return tuple(sorted({bucket(self.task, length, self.longest) for length in made}))
        found, length = [], self.shortest
        while True:
            found.append(bucket(self.task, length, self.longest))
            after = range(found[-1] + 1, self.longest + 1)
            following = next((n for n in after if can_make(self.task, n)), None)
            if following is None:
                return tuple(found)
            length = following

    def _made(self, length: int) -> int:
        """The nearest length that the task makes."""
        return nearest_length(self.task, max(length, self.shortest), self.longest)

    def at(self, step: int) -> int:
        """The length of a step's sequences."""
        if self.kind is None:
            return self.longest
        random = np.random.default_rng([self.seed, STREAM, step])
        if self.kind == "powers":
            return self._made(int(random.choice(self._powers)))
        return self._made(int(random.integers(self.shortest, self.limit(step) + 1)))

    def limit(self, step: int) -> int:
        """The greatest length that may be drawn in a step, before it is one that the task makes."""
        if self.curriculum_steps is None or step + 1 >= self.curriculum_steps:
            return self.longest
        return self.shortest + (self.longest - self.shortest) * step // (self.curriculum_steps - 1)

    def batch(
        self, step: int, rows: Int[np.ndarray, "b"] | None = None, further: int = 0
    ) -> StepBatch:
        """The training batch of a step, or some of its rows, padded to its bucket.

        ``further`` takes the examples of so many steps later, in this step's length.
        """
        length = self.at(step)
        batch = read_rows(self.task, "train", step + further, self.batch_size, length, rows)
        if self.kind is None:
            return StepBatch(batch, length, length)
        longer = bucket(self.task, length, self.longest)
        return StepBatch(pad(batch, self._shapes[longer]), length, longer)

    def describe(self) -> str:
        """The lengths that are drawn, and the programs that they take, in words.

        >>> from seqmodels.tasks import TASKS
        >>> Lengths(TASKS["parity"](seed=0), 0, 4, 64, "uniform", shortest=8).describe()
        'lengths 8 to 64, drawn evenly, in 4 programs'
        """
        assert self.kind is not None
        how = {
            "uniform": "drawn evenly",
            "powers": "powers of two",
            "curriculum": f"drawn up to a limit that rises for {self.curriculum_steps} steps",
        }[self.kind]
        programs = "1 program" if len(self.buckets) == 1 else f"{len(self.buckets)} programs"
        return f"lengths {self.shortest} to {self.longest}, {how}, in {programs}"
