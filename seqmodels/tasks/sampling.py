"""Draws of different things, for all rows of a batch at once, at the cost of what is drawn."""

import numpy as np

from seqmodels.arrays import Float, Int

FEW = 16
"""Of so many times as many things as are drawn, each gets a random number of its own."""


def previous(keys: Int[np.ndarray, "B n"]) -> Int[np.ndarray, "B n"]:
    """The last place before each that has the same key, or -1.

    >>> previous(np.array([[3, 1, 3, 3, 1]])).tolist()
    [[-1, -1, 0, 2, 1]]
    """
    order = np.argsort(keys, axis=1, kind="stable")
    in_order = np.take_along_axis(keys, order, axis=1)
    same = in_order[:, 1:] == in_order[:, :-1]
    found = np.full(keys.shape, -1)
    np.put_along_axis(found, order[:, 1:], np.where(same, order[:, :-1], -1), axis=1)
    return found


def choose(
    random: np.random.Generator, log_odds: Float[np.ndarray, "n"] | int, rows: int, count: int
) -> Int[np.ndarray, "B P"]:
    """In each row ``count`` different indices, drawn one after another by the odds of what is left.

    Indices are drawn with repetitions and those drawn before are left out. Where most are, and
    of few things at once, the largest of log-odds plus Gumbel noise are taken: the same
    distribution (Efraimidis and Spirakis 2006).

    Args:
      log_odds: of each index, or the number of indices that are all as likely.

    >>> choose(np.random.default_rng(0), 1000, rows=2, count=3).tolist()
    [[850, 636, 511], [175, 813, 649]]
    """
    size = log_odds if isinstance(log_odds, int) else len(log_odds)
    if size <= FEW * count:
        return _largest(_noise(random, log_odds, rows, size), count)
    tries = 2 * count + 2
    if isinstance(log_odds, int):
        drawn = random.integers(0, size, (rows, tries), np.int32)
    else:
        odds = np.cumsum(np.exp(log_odds - log_odds.max()))
        drawn = np.searchsorted(odds[:-1], odds[-1] * random.random((rows, tries)), side="right")
        drawn = drawn.astype(np.int32)
    new = previous(drawn) < 0
    new &= np.cumsum(new, axis=1) <= count
    found = new.sum(axis=1)
    chosen = np.empty((rows, count), np.int32)
    done = found == count
    chosen[done] = drawn[new & done[:, None]].reshape(-1, count)
    for row in np.flatnonzero(~done):
        noise = _noise(random, log_odds, 1, size)
        kept = drawn[row, new[row]]
        noise[0, kept] = -np.inf
        chosen[row] = np.concatenate([kept, _largest(noise, count - len(kept))[0]])
    return chosen


def _noise(
    random: np.random.Generator, log_odds: Float[np.ndarray, "n"] | int, rows: int, size: int
) -> Float[np.ndarray, "B n"]:
    """Numbers by whose order, from the largest on, indices are drawn by their odds."""
    if isinstance(log_odds, int):
        return random.random((rows, size))
    return log_odds + random.gumbel(size=(rows, size))


def _largest(noise: Float[np.ndarray, "B n"], count: int) -> Int[np.ndarray, "B P"]:
    """The indices of the largest, in order."""
    chosen = np.argpartition(-noise, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(noise, chosen, axis=1), axis=1)
    return np.take_along_axis(chosen, order, axis=1).astype(np.int32)


def different(
    random: np.random.Generator, size: int, shape: tuple[int, ...], count: int
) -> Int[np.ndarray, "*S P"]:
    """Along the last axis ``count`` different numbers below ``size``, in any order alike.

    Number k is drawn below ``size`` - k and counts what the ones before it have left. That takes
    about P² comparisons of whole arrays: it is for few numbers in many places.

    >>> different(np.random.default_rng(0), 5, (2,), count=4).tolist()
    [[4, 2, 0, 1], [3, 1, 0, 2]]
    """
    drawn = np.empty((count, *shape), np.int32)
    taken: list[np.ndarray] = []  # the ones before, in order at each place
    for place in range(count):
        number = random.integers(0, size - place, shape, np.int32)
        for lower in taken:
            number += number >= lower
        drawn[place] = number
        for rank, lower in enumerate(taken):
            taken[rank], number = np.minimum(lower, number), np.maximum(lower, number)
        taken.append(number)
    return np.moveaxis(drawn, 0, -1)
