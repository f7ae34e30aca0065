"""ListOps: nested operations on lists of digits, from Long Range Arena."""

from typing import NamedTuple

import numpy as np

from seqmodels.arrays import Bool, Int
from seqmodels.errors import require
from seqmodels.tasks.base import (
    Batch,
    GeneratedTask,
    Split,
    TaskSpec,
    require_length,
)

OPERATION_SHARE = 0.25
"""How often an argument is an operation of its own, unless that would nest too deeply."""
MINIMUM, MAXIMUM, MEDIAN, SUM, END = range(10, 15)
SHOWN = (*map(str, range(10)), "[MIN", "[MAX", "[MED", "[SM", "]")
SHORTEST_SHARE = 4
"""The shortest expression has a fourth of the longest's tokens, as 500 has of 2,000."""
TRIES = 100_000
"""So many expressions are drawn for the next one that is neither too long nor too short."""
FEWEST, MOST = 64, 4096
"""So many are drawn together, at least and at most."""


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
      seed: which expressions are drawn.
      depth: a value may lie inside so many operations at most, less one.
      arguments: the most arguments that an operation has; the least is 2.
      evaluation_examples: the size of the validation and of the test split.

    >>> task = ListOps(seed=0, arguments=4)
    >>> batch = task.batch("train", 0, batch_size=1, length=20)
    >>> " ".join(SHOWN[token] for token in batch.inputs[0][batch.mask[0]]), batch.targets.tolist()
    ('[SM [SM 1 4 3 ] 9 0 ]', [7])
    """

    spec = TaskSpec(
        shape="many-to-one",
        inputs="tokens",
        input_size=len(SHOWN),
        outputs=10,
        causal=False,
        score="accuracy",
        higher_is_better=True,
    )

    def __init__(
        self, seed: int, depth: int = 10, arguments: int = 10, evaluation_examples: int = 2000
    ):
        require(depth >= 2, f"depth={depth} is not at least 2")
        require(arguments >= 2, f"arguments={arguments} is not at least 2")
        super().__init__(seed, evaluation_examples)
        self.depth = depth
        self.arguments = arguments

    def draw(
        self, random: np.random.Generator, split: Split, batch_size: int, length: int
    ) -> Batch:
        """Expressions [B, L] with their mask, and their values [B]."""
        require_length(length, length >= 4, "listops", "an operation takes at least 4 tokens")
        inputs = np.zeros((batch_size, length), np.int32)
        sizes, targets = np.zeros((2, batch_size), np.int32)
        done = tried = 0
        while done < batch_size:
            left = batch_size - done
            count = min(max(FEWEST, 12 * left), MOST)
            shapes, found = self._shapes(random, count, left, length)
            rows = slice(done, done + found)
            if found:
                sizes[rows], targets[rows] = _write(random, shapes, inputs[rows])
            tried = 0 if found else tried + count
            done += found
            require_length(
                length,
                tried < TRIES,
                "listops",
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
        self, random: np.random.Generator, count: int, wanted: int, longest: int
    ) -> tuple[_Shapes, int]:
        """The first of some expressions that are neither too short nor too long, and their number.

        All grow together, a depth at a time.
        """
        levels, all_arguments, all_inner = [], [], []
        rows, operations = np.arange(count, dtype=np.int32), np.ones(count, int)
        sizes, fits = np.zeros(count, int), np.ones(count, bool)
        for depth in range(1, self.depth):
            arguments = random.integers(2, self.arguments + 1, len(rows), np.int32)
            rows_of = rows.repeat(arguments)
            sizes += 2 * operations + np.bincount(rows_of, minlength=count)
            inner = random.random(len(rows_of), np.float32) < OPERATION_SHARE
            inner &= depth + 1 < self.depth
            levels.append(rows)
            all_arguments.append(arguments)
            all_inner.append(inner)
            deeper = rows_of[inner]
            operations = np.bincount(deeper, minlength=count)
            sizes -= operations
            fits &= sizes + 4 * operations <= longest
            rows = deeper[fits[deeper]]
            if len(rows) == 0:
                break
            operations *= fits
        fits &= sizes * SHORTEST_SHARE >= longest
        fits &= fits.cumsum() <= wanted
        number = fits.cumsum(dtype=np.int32) - 1
        rows, arguments = np.concatenate(levels), np.concatenate(all_arguments)
        kept = fits[rows]
        until = kept.cumsum()[np.cumsum([len(level) for level in levels]) - 1]
        shapes = _Shapes(
            [int(level) for level in np.diff(until, prepend=0) if level],
            number[rows[kept]],
            arguments[kept],
            np.concatenate(all_inner)[kept.repeat(arguments)],
        )
        return shapes, int(fits.sum())


def _write(
    random: np.random.Generator, shapes: _Shapes, inputs: Int[np.ndarray, "B L"]
) -> tuple[Int[np.ndarray, "B"], Int[np.ndarray, "B"]]:
    """Draws operations and digits, writes them; the numbers of tokens, and the values."""
    levels, rows, arguments, inner = shapes
    operations = random.integers(MINIMUM, END, len(rows), np.int32)
    values = random.integers(0, 10, len(inner), np.int32)
    tokens = np.ones(len(inner), np.int32)
    begins = arguments.cumsum() - arguments
    inside = inner.nonzero()[0]  # which argument each operation below the first depth is
    ends = np.cumsum(levels)
    slots = [*begins[ends[:-1]].tolist(), len(inner)]
    # From the deepest on, what an operation stands for and how long it is.
    for depth in reversed(range(len(levels))):
        here = slice(ends[depth] - levels[depth], ends[depth])
        first = begins[here][0]
        below = slice(first, slots[depth])
        counts = arguments[here]
        results = apply(operations[here], values[below], counts)
        sizes = np.add.reduceat(tokens[below], begins[here] - first) + 2
        if depth:
            places = inside[here.start - levels[0] : here.stop - levels[0]]
            values[places], tokens[places] = results, sizes
    before = tokens.cumsum() - tokens
    # From the first on, where it stands.
    owner = np.arange(len(rows)).repeat(arguments)
    offsets = before - before[begins][owner] + 1
    starts = np.zeros(len(rows), int)
    for depth in range(1, len(levels)):
        here = slice(ends[depth] - levels[depth], ends[depth])
        places = inside[here.start - levels[0] : here.stop - levels[0]]
        starts[here] = starts[owner[places]] + offsets[places]
    lengths = np.concatenate([sizes, tokens[inside]])
    inputs[rows, starts] = operations
    inputs[rows, starts + lengths - 1] = END
    digits = (~inner).nonzero()[0]
    owner = owner[digits]
    inputs[rows[owner], starts[owner] + offsets[digits]] = values[digits]
    return sizes, results


def apply(
    operations: Int[np.ndarray, "n"], values: Int[np.ndarray, "m"], counts: Int[np.ndarray, "n"]
) -> Int[np.ndarray, "n"]:
    """The values of operations, whose arguments, so many of each, stand one after another.

    >>> apply(np.array([MEDIAN, SUM]), np.array([3, 8, 4, 9, 7, 8]), np.array([4, 2])).tolist()
    [6, 5]
    """
    ends = counts.cumsum()
    begins = ends - counts
    tens = np.arange(0, 10 * len(counts), 10)
    ordered = tens.repeat(counts) + values
    ordered.sort()
    low = np.where(
        operations == MAXIMUM, ends - 1, begins + (operations == MEDIAN) * ((counts - 1) // 2)
    )
    high = np.where(operations == MEDIAN, begins + counts // 2, low)
    ordered_value = (ordered[low] + ordered[high]) // 2 - tens
    return np.where(operations == SUM, np.add.reduceat(values, begins) % 10, ordered_value)
