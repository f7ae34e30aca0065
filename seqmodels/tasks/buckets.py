"""Buckets of lengths: a bounded number of shapes, and so of programs, for any number of lengths.

Compiling takes longer than many a step, so sequences of several lengths are padded to the longest
of their bucket. Padding changes no result.
"""

from functools import lru_cache

import numpy as np

from seqmodels.arrays import AnyArray
from seqmodels.errors import ParameterError
from seqmodels.tasks.base import Batch, Task


@lru_cache(maxsize=4096)
def can_make(task: Task, length: int) -> bool:
    """Whether a task makes sequences of a length."""
    try:
        task.batch("train", 0, 1, length)
    except ParameterError:
        return False
    return True


def nearest_length(task: Task, length: int, longest: int) -> int:
    """The longest length up to ``length`` that a task makes; else the next one, up to ``longest``.

    Raises:
      ParameterError: there is none; the message is the task's own, of ``longest``.

    >>> from seqmodels.tasks import TASKS
    >>> nearest_length(TASKS["modular_arithmetic"](seed=0), length=8, longest=64)
    7
    """
    for candidate in (*range(length, 0, -1), *range(length + 1, longest + 1)):
        if can_make(task, candidate):
            return candidate
    task.batch("train", 0, 1, longest)
    raise ParameterError(f"length={length} can't be made, nor any up to {longest}")


def bucket(task: Task, length: int, longest: int) -> int:
    """The length that sequences of a length are padded to.

    The power of two at or above it, or ``longest`` where that is less; or the nearest below of
    those that the task makes. So lengths from n to ``longest`` have at most
    log2(longest / n) + 2 buckets.

    >>> from seqmodels.tasks import TASKS
    >>> [bucket(TASKS["parity"](seed=0), length, longest=100) for length in (5, 8, 9, 64, 65, 100)]
    [8, 8, 16, 64, 100, 100]
    """
    return nearest_length(task, min(1 << (length - 1).bit_length(), longest), longest)


def pad(batch: Batch, like: Batch) -> Batch:
    """A batch with as many positions and targets as another, which has at least as many.

    What is added has weight 0 and is masked, so it counts for nothing. The result always has a
    mask, that all lengths of a bucket may share a program.
    """
    mask = np.ones(batch.inputs.shape[:2], bool) if batch.mask is None else batch.mask
    return Batch(
        _widen(batch.inputs, like.inputs),
        _widen(batch.targets, like.targets),
        _widen(batch.weights, like.weights),
        _widen(mask, like.inputs),
        None if batch.positions is None else _widen(batch.positions, like.positions),
    )


def _widen(array: AnyArray, like: AnyArray | None) -> np.ndarray:
    """Zeros after the second axis, up to another array's; without one nothing is added."""
    if array.ndim == 1:
        return np.asarray(array)
    assert like is not None
    missing = like.shape[1] - array.shape[1]
    assert missing >= 0, f"{array.shape} is longer than {like.shape}"
    return np.pad(array, ((0, 0), (0, missing), *((0, 0),) * (array.ndim - 2)))
