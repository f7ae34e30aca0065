"""Retrieval on the bytes of local files: do two stretches come from one?

After Retrieval of the Long Range Arena (Tay et al. 2021), on text that needs no download.
"""

from functools import cached_property, lru_cache

import numpy as np

from seqmodels.arrays import Bool, Int
from seqmodels.tasks.base import (
    SPLITS,
    Batch,
    Split,
    TaskSpec,
    example_indices,
    example_weights,
    generator,
    require_length,
)
from seqmodels.tasks.files.finding import STDLIB
from seqmodels.tasks.files.source_files import FromFiles, by_folder, top_folder
from seqmodels.tasks.files.splits import Part, Splitting
from seqmodels.tasks.files.stretches import TRIES, OwnStretches, Pairs

MOST_BYTES: dict[Split, int] = {"train": 2**24, "validation": 2**22, "test": 2**22}
"""Where files hold more, as many take part, and of each at most a sixteenth of them."""
_DRAWN = 3 + 2 * TRIES


class SameFile(FromFiles):
    """Do two stretches come from one file? Half of them do.

    The inputs are bytes of a first stretch, the token 256 and bytes of a second, V = 257: of
    L - 1 bytes the first has half, rounded down. Two stretches of one file never overlap. Two of
    different files come from one top-level folder, so that its subject and style alone do not
    tell; files that are alone in their folder are paired with one another.

    Each stretch lies in one file alone, of all that are read: no file holds two that are said to be
    of different ones. Nothing tells the answer but the two together: whatever it is, each stretch's
    file is any file of its folder with the same probability, folders are drawn by their numbers of
    files, and in each file a pair is drawn by one rule, of which an answer takes one or both.
    Only files that hold two stretches of their own take part, and of more than MOST_BYTES a part;
    the part of a file that a split has counts as a file. Settings as in :class:`FromFiles`.

    >>> import email
    >>> task = SameFile(seed=0, files=email.__path__[0])
    >>> batch = task.batch("train", step=0, batch_size=2, length=16)
    >>> batch.inputs.shape, batch.inputs[:, 7].tolist()
    ((2, 16), [256, 256])
    """

    spec = TaskSpec("many-to-one", "tokens", input_size=257, outputs=2)
    separator = 256

    def __init__(
        self,
        seed: int,
        files: str = STDLIB,
        held_out: float = 0.1,
        evaluation_examples: int = 1000,
        splitting: Splitting = "shares",
    ):
        super().__init__(seed, files, held_out, evaluation_examples)
        parts = self.split(self.sizes, held_out, splitting)
        self.parts = by_folder(
            {split: _bounded(parts[split], MOST_BYTES[split]) for split in SPLITS}
        )

    @cached_property
    def own(self) -> OwnStretches:
        """What lies in one file alone, of all splits."""
        parts = [part for split in SPLITS for part in self.parts[split]]
        numbers = {name: place for place, name in enumerate(sorted({part.name for part in parts}))}
        read = self.read()
        contents = [content for split in SPLITS for content in read[split]]
        return OwnStretches(contents, [numbers[part.name] for part in parts])

    @cached_property
    def folders(self) -> dict[Split, Int[np.ndarray, "_"]]:
        """The number of each part's top-level folder."""
        return {
            split: np.unique([top_folder(part.name) for part in parts], return_inverse=True)[1]
            for split, parts in self.parts.items()
        }

    def rows(
        self, split: Split, step: int, batch_size: int, length: int, rows: Int[np.ndarray, "b"]
    ) -> Batch:
        """Two stretches and a separator [B, L], and whether one file holds both [B]."""
        why = "it holds two stretches of at least 1 byte and a separator"
        require_length(self, length, length >= 3, why)
        pairs, firsts, counts, members = _partners_at(self, split, length)
        first, second = pairs.lengths
        why = f"{split} has no 2 files with stretches of {first} and {second} bytes of their own"
        require_length(self, length, len(members) > 0, why)
        if split == "train":
            uniform = generator(self.seed, split, step, length).random((_DRAWN, batch_size))
            same = (uniform[2] < 0.5).astype(np.int32)
        else:
            drawn = generator(0, split, length).random((_DRAWN, self.evaluation_examples))
            indices, _ = example_indices(drawn.shape[1], split, step, batch_size, self.seed)
            uniform, same = drawn[:, indices], (indices % 2).astype(np.int32)
        uniform, same = uniform[:, rows], same[rows]
        one = (uniform[0] * len(members)).astype(np.int64)
        ahead = 1 + (uniform[1] * (counts[one] - 1)).astype(np.int64)
        another = firsts[one] + (one - firsts[one] + ahead) % counts[one]
        other = np.where(same, one, another)
        tries = uniform[3:].reshape(TRIES, 2, -1)
        begin, _ = pairs.draw(members[one], tries)
        _, after = pairs.draw(members[other], tries)
        inputs = np.full((len(rows), length), self.separator, np.int32)
        inputs[:, :first] = self.own.text[begin[:, None] + np.arange(first)]
        inputs[:, first + 1 :] = self.own.text[after[:, None] + np.arange(second)]
        weights = example_weights(self.evaluation_examples, split, step, batch_size)
        return Batch(inputs, same, weights[rows])

    def chance(self, split: Split, length: int) -> float:
        """1/2: either answer is as likely."""
        return 1 / 2


def _bounded(parts: list[Part], most: int) -> list[Part]:
    """At most so many bytes of some parts, and of each at most a sixteenth of them."""
    left, kept = most, []
    for part in parts:
        size = min(part.size, most // 16, left)
        if size:
            kept.append(part._replace(end=part.start + size))
        left -= size
    return kept


@lru_cache(maxsize=64)  # it takes time for each file there is, and a batch but for its rows
def _partners_at(
    task: SameFile, split: Split, length: int
) -> tuple[Pairs, Int[np.ndarray, "n"], Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """The stretches that inputs of a length are made of, and :func:`_partners` of a split."""
    pairs = task.own.pairs(((length - 1) // 2, length // 2))
    before = sum(len(task.parts[other]) for other in SPLITS[: SPLITS.index(split)])
    own = pairs.possible[before : before + len(task.parts[split])]
    firsts, counts, members = _partners(task.folders[split], own)
    return pairs, firsts, counts, before + members


def _partners(
    folders: Int[np.ndarray, "files"], possible: Bool[np.ndarray, "files"]
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """The files that may take part, in groups of 2 or more to be told apart.

    Returns:
      For each, where its group begins and how large it is; and its number among all files.
    """
    long = np.flatnonzero(possible)
    folders = folders[long]
    counts = np.bincount(folders, minlength=1)[folders]
    # Those alone in their folder make a group, after all others.
    folders = np.where(counts == 1, folders.max(initial=0) + 1, folders)
    order = np.argsort(folders, kind="stable")
    _, firsts, groups, counts = np.unique(
        folders[order], return_index=True, return_inverse=True, return_counts=True
    )
    firsts, counts, members = firsts[groups], counts[groups], long[order]
    kept = counts >= 2  # it lacks at most the last
    return firsts[kept], counts[kept], members[kept]
