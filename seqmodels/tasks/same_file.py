"""Retrieval on the bytes of local files: do two stretches come from one?

After Retrieval of the Long Range Arena (Tay et al. 2021), on text that needs no download.
"""

import numpy as np

from seqmodels.arrays import Float, Int
from seqmodels.tasks.base import (
    Batch,
    Split,
    TaskSpec,
    example_indices,
    example_weights,
    generator,
    require_length,
)
from seqmodels.tasks.files import split_files
from seqmodels.tasks.source_files import Files, FromFiles


class SameFile(FromFiles):
    """Do two stretches come from one file? Half of them do.

    The inputs are bytes of a first stretch, the token 256 and bytes of a second, V = 257: of
    L - 1 bytes the first has half, rounded down. Two stretches of one file never overlap. Two of
    different files come from one top-level folder, so that its subject and style alone do not
    tell; files that are alone in their folder are paired with one another.

    Nothing tells the answer but the two together: whatever it is, each stretch's file is any file
    of its folder with the same probability, folders are drawn by their numbers of files, and the
    places of the two in their files are drawn by one rule, as if both were from either file.
    Validation and test are the same for every seed.

    Args:
      seed: which stretches are trained on.
      files: a folder, a glob of files, or ``"stdlib"`` for the Python standard library's own
        source without its tests. Only files of at least L - 1 bytes take part.
      held_out: the share of all bytes that goes to validation, and again to test; each file
        belongs to one split, chosen by a hash of its name.
      evaluation_examples: the size of the validation and of the test split.

    >>> batch = SameFile(seed=0).batch("train", step=0, batch_size=2, length=16)
    >>> batch.inputs.shape, batch.inputs[:, 7].tolist()
    ((2, 16), [256, 256])
    """

    spec = TaskSpec(
        shape="many-to-one",
        inputs="tokens",
        input_size=257,
        outputs=2,
        causal=False,
        score="accuracy",
        higher_is_better=True,
    )
    separator = 256

    def __init__(
        self,
        seed: int,
        files: str = "stdlib",
        held_out: float = 0.1,
        evaluation_examples: int = 1000,
    ):
        super().__init__(seed, files, held_out, evaluation_examples)
        self.parts = split_files(self.sizes, held_out)

    def batch(self, split: Split, step: int, batch_size: int, length: int) -> Batch:
        """Two stretches and a separator [B, L], and whether one file holds both [B]."""
        return self.rows(split, step, batch_size, length, np.arange(batch_size))

    def rows(
        self, split: Split, step: int, batch_size: int, length: int, rows: Int[np.ndarray, "b"]
    ) -> Batch:
        """Some rows of a batch; no other stretch is cut out."""
        why = "it holds two stretches of at least 1 byte and a separator"
        require_length(length, length >= 3, "same_file", why)
        files = self.contents[split]
        firsts, counts, members = _partners(files, length - 1)
        why = f"{split} has no 2 files of at least {length - 1} bytes to tell apart"
        require_length(length, len(members) > 0, "same_file", why)
        if split == "train":
            uniform = generator(self.seed, split, step, length).random((6, batch_size))
            same = (uniform[5] < 0.5).astype(np.int32)
        else:
            drawn = generator(0, split, length).random((6, self.evaluation_examples))
            indices, _ = example_indices(drawn.shape[1], split, step, batch_size, self.seed)
            uniform, same = drawn[:, indices], (indices % 2).astype(np.int32)
        uniform, same = uniform[:, rows], same[rows]
        one = (uniform[0] * len(members)).astype(np.int64)
        ahead = 1 + (uniform[1] * (counts[one] - 1)).astype(np.int64)
        another = firsts[one] + (one - firsts[one] + ahead) % counts[one]
        other = np.where(same, one, another)
        first_length = (length - 1) // 2
        lengths = (first_length, length - 1 - first_length)
        inputs = np.full((len(rows), length), self.separator, np.int32)
        begin, _ = _two_places(files, members[one], lengths, uniform[2:5])
        inputs[:, :first_length] = files.bytes[begin[:, None] + np.arange(lengths[0])]
        _, begin = _two_places(files, members[other], lengths, uniform[2:5])
        inputs[:, first_length + 1 :] = files.bytes[begin[:, None] + np.arange(lengths[1])]
        weights = example_weights(self.evaluation_examples, split, step, batch_size)
        return Batch(inputs, same, weights[rows])

    def chance(self, split: Split, length: int) -> float:
        """1/2: either answer is as likely."""
        del split, length
        return 1 / 2


def _partners(
    files: Files, shortest: int
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """The files of at least so many bytes, in groups of 2 or more to be told apart.

    Returns:
      For each, where its group begins and how large it is; and its number among all files.
    """
    long = np.flatnonzero(files.sizes >= shortest)
    folders = files.folders[long]
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


def _two_places(
    files: Files,
    chosen: Int[np.ndarray, "B"],
    lengths: tuple[int, int],
    uniform: Float[np.ndarray, "3 B"],
) -> tuple[Int[np.ndarray, "B"], Int[np.ndarray, "B"]]:
    """Where two stretches begin that do not overlap in a file; either may be the earlier."""
    free = files.sizes[chosen] - sum(lengths)
    low, high = np.sort((uniform[:2] * (free + 1)).astype(np.int64), axis=0)
    begin, swapped = files.starts[chosen], uniform[2] < 0.5
    first = np.where(swapped, high + lengths[1], low)
    second = np.where(swapped, low, high + lengths[0])
    return begin + first, begin + second
