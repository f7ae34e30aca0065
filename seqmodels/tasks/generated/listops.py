"""ListOps: nested operations on lists of digits, from Long Range Arena."""

import math
import threading
from functools import lru_cache
from typing import NamedTuple

import jax
import numpy as np
from numpy.random import Generator

from seqmodels.arrays import Bool, Int
from seqmodels.errors import require_least
from seqmodels.tasks.base import Batch, Split, TaskSpec, require_length
from seqmodels.tasks.generated.task import GeneratedTask

OPERATION_SHARE = 0.25
"""How often an argument is an operation of its own, unless that would nest too deeply."""
MINIMUM, MAXIMUM, MEDIAN, SUM, END = range(10, 15)
SHOWN = (*map(str, range(10)), "[MIN", "[MAX", "[MED", "[SM", "]")
SHORTEST_SHARE = 4
"""The shortest expression has a fourth of the longest's tokens, as 500 has of 2,000."""
TRIES = 100_000
"""So many expressions are drawn for the next one that is neither too long nor too short."""
FEWEST, MOST = 64, 8192
"""So many are drawn together, at least and at most."""
STEPS, POSITIONS = 8, 2**16
"""Training batches of so many steps, or of so many positions, are drawn together: NumPy's time for
a small batch is that of its calls."""
_DRAWING = threading.Lock()


class _Shapes(NamedTuple):
    """Operations of some expressions, by depth, and there in the order in which they stand.

    The arguments of all follow one another, and those that are operations of their own are the
    ones of the next depth, in order.
    """

    levels: list[int]
    """How many operations each depth has."""
    rows: Int[np.ndarray, "n"]
    """In which expression each stands."""
    arguments: Int[np.ndarray, "n"]
    """How many it has."""
    inner: Bool[np.ndarray, "m"]
    """Whether an argument is an operation."""


class ListOps(GeneratedTask):
    """What is [MAX 4 3 [MIN 2 3 ] 1 0 [MED 1 5 8 9 2 ] ]? A digit.

    The grammar, depth, arguments and lengths of Long Range Arena (Tay et al. 2021), after Nangia
    and Bowman 2018: the operations are minimum, maximum, median (rounded down) and sum
    modulo 10; an argument is an operation with probability 1/4 and else a digit. Expressions have
    from length / 4 to ``length`` tokens (there more than 500 and fewer than 2,000) and are padded.

    Args:
      depth: a value may lie inside so many operations at most, less one.
      arguments: the most arguments that an operation has; the least is 2.

    >>> task = ListOps(seed=0, arguments=4)
    >>> batch = task.batch("train", 0, batch_size=1, length=20)
    >>> " ".join(SHOWN[token] for token in batch.inputs[0][batch.mask[0]]), batch.targets.tolist()
    ('[MED [SM 4 0 ] 5 [MED 5 1 8 ] 8 ]', [5])
    """

    spec = TaskSpec("many-to-one", "tokens", input_size=len(SHOWN), outputs=10)

    def __init__(
        self, seed: int, depth: int = 10, arguments: int = 10, evaluation_examples: int = 2000
    ):
        require_least(2, depth=depth, arguments=arguments)
        super().__init__(seed, evaluation_examples)
        self.depth = depth
        self.arguments = arguments

    def batch(self, split: Split, step: int, batch_size: int, length: int) -> Batch:
        """Expressions [B, L] with their mask, and their values [B]."""
        together = min(STEPS, POSITIONS // (batch_size * length))
        if split != "train" or together <= 1:
            return super().batch(split, step, batch_size, length)
        group, place = divmod(step, together)
        with _DRAWING:  # threads that ask for steps of one group draw it once
            drawn = _training_rows(self, group, together * batch_size, length)
        rows = slice(place * batch_size, (place + 1) * batch_size)
        return jax.tree.map(lambda array: array[rows], drawn)

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Expressions [B, L] with their mask, and their values [B]."""
        require_length(self, length, length >= 4, "an operation takes at least 4 tokens")
        inputs = np.zeros((batch_size, length), np.int32)
        sizes, targets = np.zeros((2, batch_size), np.int32)
        done = tried = 0
        while done < batch_size:
            left = batch_size - done
            count = int(1.3 * left / _fitting_share(self, length))
            count = min(max(FEWEST, count), MOST)
            shapes, found = self._shapes(random, count, left, length)
            rows = slice(done, done + found)
            if found:
                sizes[rows], targets[rows] = _write(random, shapes, inputs[rows])
            tried = 0 if found else tried + count
            done += found
            require_length(
                self,
                length,
                tried < TRIES,
                f"expressions of depth={self.depth} and arguments={self.arguments} are hardly ever "
                "so long; raise these, or take a shorter one",
            )
        mask = np.arange(length) < sizes[:, None]
        return Batch(inputs, targets, np.ones(batch_size), mask)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B"]]:
        """How many operations lie inside one another at most."""
        inputs = np.asarray(batch.inputs)
        opened = ((inputs >= MINIMUM) & (inputs < END)).astype(int) - (inputs == END)
        return {"depth": opened.cumsum(axis=1).max(axis=1)}

    def _shapes(
        self, random: Generator, count: int, wanted: int, longest: int
    ) -> tuple[_Shapes, int]:
        """The first of some expressions that are neither too short nor too long, and their number.

        All grow together, a depth at a time, by how many arguments each operation has and how many
        of them are operations; which ones those are is drawn for what is kept alone.
        """
        odds, arguments_of, inner_of = _odds(self.arguments)
        # By how many tokens an operation is longer than 4, if all in it are as short as can be.
        longer = arguments_of + 3 * inner_of - 2
        levels, all_drawn = [], []
        rows, sizes = np.arange(count), np.full(count, 4.0)
        for depth in range(1, self.depth):
            if depth + 1 < self.depth:
                drawn = np.searchsorted(odds, random.random(len(rows)), side="right")
            else:
                without = np.flatnonzero(inner_of == 0)
                drawn = without[random.integers(0, len(without), len(rows))]
            levels.append(rows)
            all_drawn.append(drawn)
            sizes += np.bincount(rows, longer.take(drawn), count)
            rows = rows.repeat(inner_of.take(drawn) * (sizes <= longest).take(rows))
            if len(rows) == 0:
                break
        fits = (sizes <= longest) & (sizes * SHORTEST_SHARE >= longest)
        fits &= fits.cumsum() <= wanted
        number = fits.cumsum() - 1
        ends = np.cumsum([len(level) for level in levels])
        rows = np.concatenate(levels)
        kept = fits.take(rows).nonzero()[0]
        drawn = np.concatenate(all_drawn).take(kept)
        arguments, inner = arguments_of.take(drawn), inner_of.take(drawn)
        shapes = _Shapes(
            [int(level) for level in np.diff(kept.searchsorted(ends), prepend=0) if level],
            number.take(rows.take(kept)),
            arguments,
            _some(random, arguments, inner),
        )
        return shapes, int(fits.sum())


@lru_cache(maxsize=4)
def _training_rows(task: ListOps, group: int, rows: int, length: int) -> Batch:
    """The batches of the steps of a group, one after another."""
    return GeneratedTask.batch(task, "train", group, rows, length)


@lru_cache(maxsize=64)
def _fitting_share(task: ListOps, length: int) -> float:
    """About how many expressions are neither too short nor too long; at least 1 in MOST."""
    found = task._shapes(np.random.default_rng(0), MOST, MOST, length)[1]
    return max(found, 1) / MOST


@lru_cache(maxsize=8)
def _odds(most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of arguments, and of operations among them, with their odds, summed up."""
    pairs = [(count, inner) for count in range(2, most + 1) for inner in range(count + 1)]
    shares = [
        math.comb(count, inner) * OPERATION_SHARE**inner * (1 - OPERATION_SHARE) ** (count - inner)
        for count, inner in pairs
    ]
    arguments, inner = np.array(pairs, np.int32).T
    return np.cumsum(shares)[:-1] / (most - 1), arguments, inner


def _some(
    random: Generator, counts: Int[np.ndarray, "n"], some: Int[np.ndarray, "n"]
) -> Bool[np.ndarray, "m"]:
    """Of each of some numbers of things so many, any as likely; all follow one another.

    >>> _some(np.random.default_rng(0), np.array([3, 2]), np.array([1, 2])).tolist()
    [False, True, False, True, True]
    """
    left = counts - np.arange(counts.max(initial=0))[:, None]
    drawn = random.random(left.shape) * left
    chosen, needed = np.empty(left.shape, bool), some.copy()
    for odds, now in zip(drawn, chosen, strict=True):
        np.less(odds, needed, out=now)  # each of those that are left is needed by the same odds
        needed -= now
    return chosen.T[left.T > 0]


def _write(
    random: Generator, shapes: _Shapes, inputs: Int[np.ndarray, "B L"]
) -> tuple[Int[np.ndarray, "B"], Int[np.ndarray, "B"]]:
    """Draws operations and digits, writes them; the numbers of tokens, and the values."""
    levels, rows, arguments, inner = shapes
    operations = random.integers(MINIMUM, END, len(rows), np.int32)
    values = random.integers(0, 10, len(inner), np.int32)
    tokens = np.ones(len(inner), np.int32)
    begins = arguments.cumsum() - arguments
    owner = np.arange(len(rows)).repeat(arguments)
    inside = inner.nonzero()[0]  # which argument each operation below the first depth is
    ends = np.cumsum([0, *levels]).tolist()
    slots = [*begins[ends[:-1]].tolist(), len(inner)]
    evaluate = _Evaluation(operations, arguments, begins, owner)
    # From the deepest on, what an operation stands for and how long it is.
    for depth in reversed(range(len(levels))):
        here, below = slice(*ends[depth : depth + 2]), slice(*slots[depth : depth + 2])
        results = evaluate(values, here, below)
        sizes = np.add.reduceat(tokens[below], begins[here] - below.start) + 2
        if depth:
            places = inside[here.start - levels[0] : here.stop - levels[0]]
            values[places], tokens[places] = results, sizes
    # From the first on, where it stands.
    before = tokens.cumsum() - tokens
    offsets = before - before[begins][owner] + 1
    above, further = owner[inside], offsets[inside]
    starts = np.zeros(len(rows), int)
    for depth in range(1, len(levels)):
        here = slice(*ends[depth : depth + 2])
        deeper = slice(here.start - levels[0], here.stop - levels[0])
        starts[here] = starts.take(above[deeper]) + further[deeper]
    lengths = np.concatenate([sizes, tokens[inside]])
    row_starts = rows * inputs.shape[1] + starts
    flat = inputs.reshape(-1)
    flat[row_starts] = operations
    flat[row_starts + lengths - 1] = END
    digits = (~inner).nonzero()[0]
    flat[row_starts[owner[digits]] + offsets[digits]] = values[digits]
    return sizes, results


class _Evaluation:
    """The values of operations, whose arguments begin somewhere and stand one after another.

    >>> counts, owner = np.array([4, 2]), np.array([0, 0, 0, 0, 1, 1])
    >>> evaluate = _Evaluation(np.array([MEDIAN, SUM]), counts, np.array([0, 4]), owner)
    >>> evaluate(np.array([3, 8, 4, 9, 7, 8]), slice(0, 2), slice(0, 6)).tolist()
    [6, 5]
    """

    def __init__(
        self,
        operations: Int[np.ndarray, "n"],
        counts: Int[np.ndarray, "n"],
        begins: Int[np.ndarray, "n"],
        owner: Int[np.ndarray, "m"],
    ):
        self.begins = begins
        self.sums = operations == SUM
        # In order, one argument or the mean of two; those of an operation are in their own ten.
        median = operations == MEDIAN
        middle = (counts - 1) // 2 * median
        self.low = begins + np.where(operations == MAXIMUM, counts - 1, middle)
        self.high = np.where(median, begins + counts // 2, self.low)
        self.tens = 10 * np.arange(len(counts))
        self.tens_of = 10 * owner

    def __call__(
        self, values: Int[np.ndarray, "m"], here: slice, below: slice
    ) -> Int[np.ndarray, "k"]:
        """The values of some operations from those of all their arguments."""
        first = below.start
        ordered = self.tens_of[below] + values[below]
        ordered.sort()
        middle = ordered.take(self.low[here] - first) + ordered.take(self.high[here] - first)
        sums = np.add.reduceat(values[below], self.begins[here] - first) % 10
        return np.where(self.sums[here], sums, middle // 2 - self.tens[here])
