"""Stretches that lie in one file alone, and pairs of them that do not overlap."""

import threading
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8, UInt32

from seqmodels.arrays import Bool, Float, Int

HASHED_AT_ONCE = 2**20
"""Places; only the hashes of so many are in memory at once."""
TRIES = 8
"""Pairs that are drawn of a file until one does not overlap."""


def own_places(
    text: UInt8[np.ndarray, "n"], files: Int[np.ndarray, "n"], length: int
) -> Bool[np.ndarray, "n"]:
    """Where a stretch of ``length`` bytes begins that lies in no other file.

    Stretches are told apart by hashes of at least twice as many values as there are places: a few
    that are in one file alone are taken for shared ones, and never the other way round.

    Args:
      text: files one after another.
      files: the number of each byte's file, which never falls.
      length: of the stretches; one that reaches into the next file is none.

    >>> text = np.frombuffer(b"the cat" b"the dog", np.uint8)
    >>> own = own_places(text, np.repeat([0, 1], 7), length=4)
    >>> [text[place : place + 4].tobytes() for place in np.flatnonzero(own)]
    [b'he c', b'e ca', b' cat', b'he d', b'e do', b' dog']
    """
    own = np.zeros(len(text), bool)
    count = len(text) - length + 1
    if count < 1:
        return own
    whole = files[:count] == files[length - 1 :]
    size = 1 << max(8, int(2 * count).bit_length())
    buckets = (_hashes(text, length) & np.uint32(size - 1))[whole]
    of = files[:count][whole]
    # The first and the last file that has each hash, as of equal indices the last one stays.
    first, final = np.empty(size, of.dtype), np.empty(size, of.dtype)
    first[buckets[::-1]] = of[::-1]
    final[buckets] = of
    own[:count][whole] = first[buckets] == final[buckets]
    return own


def _hashes(text: UInt8[np.ndarray, "n"], length: int) -> UInt32[np.ndarray, "m"]:
    """Of each stretch sum_j v(x_{i+j}) p^j modulo 2^64, mixed, of which 32 bits are kept."""
    values = np.random.default_rng(0).integers(2**64, size=256, dtype=np.uint64)
    base = 0x9E3779B97F4A7C15
    most = min(HASHED_AT_ONCE, len(text)) + length
    powers, inverse = _powers(base, most), _powers(pow(base, -1, 2**64), most)
    hashes = np.empty(len(text) - length + 1, np.uint32)
    for start in range(0, len(hashes), HASHED_AT_ONCE):
        end = min(start + HASHED_AT_ONCE, len(hashes))
        piece = values[text[start : end + length - 1]]
        sums = np.zeros(len(piece) + 1, np.uint64)
        np.cumsum(piece * powers[: len(piece)], out=sums[1:])
        found = (sums[length:] - sums[: end - start]) * inverse[: end - start]
        found ^= found >> np.uint64(29)
        found *= np.uint64(0xBF58476D1CE4E5B9)
        hashes[start:end] = found >> np.uint64(32)
    return hashes


def _powers(base: int, count: int) -> np.ndarray:
    powers = np.full(count, base, np.uint64)
    powers[0] = 1
    return np.cumprod(powers)


class Pairs(NamedTuple):
    """Of each file the places where a first and where a second stretch of its own may begin."""

    lengths: tuple[int, int]
    places: tuple[Int[np.ndarray, "p"], Int[np.ndarray, "q"]]
    begins: Int[np.ndarray, "2 files"]
    """Where the places of each file begin."""
    ends: Int[np.ndarray, "2 files"]
    """Where they end."""
    possible: Bool[np.ndarray, "files"]
    """Which files have a first and a second that do not overlap."""

    def draw(
        self, files: Int[np.ndarray, "B"], uniform: Float[np.ndarray, "tries 2 B"]
    ) -> tuple[Int[np.ndarray, "B"], Int[np.ndarray, "B"]]:
        """Where a first and a second stretch begin, in files that have such a pair.

        Each pair that doesn't overlap is as likely as any other, but where all tries overlap.
        """
        begins, ends = self.begins[:, files], self.ends[:, files]
        first, second = _farthest(self.lengths, self.places, begins, ends)
        for drawn in uniform[::-1]:
            ranks = begins + (drawn * (ends - begins)).astype(np.int64)
            i, j = self.places[0][ranks[0]], self.places[1][ranks[1]]
            apart = _are_apart(self.lengths, i, j)
            first, second = np.where(apart, i, first), np.where(apart, j, second)
        return first, second


def _are_apart(
    lengths: tuple[int, int], first: Int[np.ndarray, "B"], second: Int[np.ndarray, "B"]
) -> Bool[np.ndarray, "B"]:
    return (first + lengths[0] <= second) | (second + lengths[1] <= first)


def _farthest(
    lengths: tuple[int, int],
    places: tuple[Int[np.ndarray, "p"], Int[np.ndarray, "q"]],
    begins: Int[np.ndarray, "2 B"],
    ends: Int[np.ndarray, "2 B"],
) -> tuple[Int[np.ndarray, "B"], Int[np.ndarray, "B"]]:
    """The two places that lie farthest from one another, the first ahead where that is possible."""
    ahead = places[0][begins[0]], places[1][ends[1] - 1]
    behind = places[0][ends[0] - 1], places[1][begins[1]]
    is_ahead = _are_apart(lengths, *ahead) & (ahead[0] < ahead[1])
    return np.where(is_ahead, ahead[0], behind[0]), np.where(is_ahead, ahead[1], behind[1])


class OwnStretches:
    """Stretches of every length that lie in one of some files alone.

    What begins with a stretch of a file's own is its own: for a length L those count whose first
    bytes are, as many as the largest 2^k or 3 2^k that is at most L.

    Args:
      parts: some bytes of each file, those of a file in their order.
      files: the number of each part's file.
    """

    def __init__(self, parts: list[UInt8[np.ndarray, "_"]], files: list[int]):
        order = np.argsort(files, kind="stable")
        sizes = np.array([len(part) for part in parts])
        ends = np.empty(len(parts), np.int64)
        ends[order] = np.cumsum(sizes[order])
        self.text = np.concatenate([parts[place] for place in order])
        """All parts, those of a file together."""
        self._starts, self._sizes = ends - sizes, sizes
        self._files = np.repeat(np.array(files, np.int32)[order], sizes[order])
        self._places: dict[int, Int[np.ndarray, "_"]] = {}
        self._lock = threading.Lock()

    def pairs(self, lengths: tuple[int, int]) -> Pairs:
        """The first and second stretches of two lengths in each part, by places in ``text``."""
        own = [self._own(length) for length in lengths]
        begins, ends = [], []
        for places, length in zip(own, lengths, strict=True):
            lasts = self._starts + np.maximum(0, self._sizes - length + 1)
            begins.append(np.searchsorted(places, self._starts))
            ends.append(np.searchsorted(places, lasts))
        begins, ends = np.stack(begins), np.stack(ends)
        possible = (begins < ends).all(axis=0)
        those = np.flatnonzero(possible)
        both = own[0], own[1]
        first, second = _farthest(lengths, both, begins[:, those], ends[:, those])
        possible[those] = _are_apart(lengths, first, second)
        return Pairs(lengths, both, begins, ends, possible)

    def _own(self, length: int) -> Int[np.ndarray, "_"]:
        """Where a stretch of a file's own begins of which one of a length is the beginning."""
        power = 1 << (length.bit_length() - 1)
        shorter = power * 3 // 2 if power * 3 // 2 <= length else power
        with self._lock:
            if shorter not in self._places:
                own = own_places(self.text, self._files, shorter)
                self._places[shorter] = np.flatnonzero(own)
            return self._places[shorter]
