"""Scores by position: where in a sequence is a model right?"""

from collections.abc import Sequence

import numpy as np

from seqmodels.arrays import AnyArray, Int
from seqmodels.evaluation.intervals import Score, score
from seqmodels.evaluation.scoring import Scores
from seqmodels.tasks.base import Batch
from seqmodels.tasks.row_metrics import PER_EXAMPLE

MOST_BINS = 64
"""Positions up to which each stands alone; of more, bins grow wider by one factor."""


def places_of(batch: Batch) -> Int[np.ndarray, "B P"]:
    """The positions of a batch's targets, counted from 1; of what is written, in it."""
    if batch.positions is not None:
        return np.asarray(batch.positions) + 1
    return np.broadcast_to(np.arange(1, batch.targets.shape[1] + 1), batch.targets.shape)


def scores_by_position(
    scores: Sequence[Scores], places: Sequence[Int[np.ndarray, "_ P"]]
) -> dict[str, dict[str, Score]]:
    """By metric, and by position or bin of positions (``17-19``), the mean over some batches.

    Args:
      scores: of each batch, by target; what padding added stands behind the targets.
      places: of each batch (:func:`places_of`).

    A metric that asks of an example whether it is wholly right has none. Nothing is told where
    all that counts stands in one bin, as a single question at the end of each sequence.
    """
    edges = _edges(max(int(each.max()) for each in places))
    names = [name for name in scores[0].targets if name not in PER_EXAMPLE]
    found = {}
    for name in names:
        parts = [
            _by_bin(batch.targets[name][i], each, edges)
            for batch, each in zip(scores, places, strict=True)
            for i in (0, 1)
        ]
        sums, counts = np.concatenate(parts[::2]), np.concatenate(parts[1::2])
        made = [score(name, sums[:, place], counts[:, place]) for place in range(len(edges) - 1)]
        bins = zip(edges[:-1].tolist(), (edges[1:] - 1).tolist(), made, strict=True)
        told = {
            f"{first}-{last}" if last > first else f"{first}": one
            for first, last, one in bins
            if one is not None
        }
        if len(told) > 1:
            found[name] = told
    return found


def _edges(longest: int) -> Int[np.ndarray, "bins_and_1"]:
    """Where each bin begins, and behind them where the last one ends.

    >>> _edges(3).tolist(), len(_edges(64)), _edges(4096)[[0, 1, 2, -3, -2, -1]].tolist()
    ([1, 2, 3, 4], 65, [1, 2, 3, 3159, 3598, 4097])
    """
    if longest <= MOST_BINS:
        return np.arange(1, longest + 2)
    return np.unique(np.geomspace(1, longest + 1, MOST_BINS + 1).round().astype(int))


def _by_bin(
    values: AnyArray, places: Int[np.ndarray, "B P"], edges: Int[np.ndarray, "bins_and_1"]
) -> np.ndarray:
    """Each example's sums over the targets of a bin, [B, bins]."""
    rows, bins = len(places), len(edges) - 1
    which = np.searchsorted(edges, places, side="right") - 1 + bins * np.arange(rows)[:, None]
    kept = np.asarray(values)[:, : places.shape[1]]
    return np.bincount(which.ravel(), kept.ravel(), bins * rows).reshape(rows, bins)
