"""Language modelling on tokens of one's own: a .npy file, read where it lies."""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from seqmodels.arrays import Int
from seqmodels.errors import ConfigError, ParameterError, nearest, require, require_least
from seqmodels.tasks.base import (
    Batch,
    ByRows,
    Split,
    TaskSpec,
    classification_metrics,
    example_indices,
    require_length,
)
from seqmodels.tasks.chance import chance_of_examples
from seqmodels.tasks.files.splits import require_held_out
from seqmodels.tasks.files.text import spread
from seqmodels.tasks.reading import absolute

SCANNED_AT_ONCE = 2**22
"""Tokens; only as many are in memory while the vocabulary is looked for."""
LARGEST_SCANNED = 2**34
"""Bytes; a vocabulary is not looked for in a larger file, which may hold nothing but zeros."""
MOST_WINDOWS = 2**28
"""Of an epoch, whose order is drawn in memory."""


class Tokens(ByRows):
    """Predict the next token of a long row of them, in nats a token.

    The row is cut into three parts, one after another: training, validation, test. The windows
    of a part of n tokens are ``x[k L : k L + L + 1]`` for k < (n - 1) // L, so that each token
    but the first is predicted once an epoch, in an order drawn anew; only the windows of a batch
    are read. Evaluation windows lie evenly spread over their part, as those of text do.

    Args:
      seed: the order of the training windows.
      path: a .npy file of whole numbers on one axis (``np.save``), of any integer dtype.
      vocabulary: V, where tokens are at least 0 and below V: each window is then checked as it is
        read. None looks for the largest, which reads the file through once.
      held_out: the share of all tokens that goes to validation, and again to test.
      evaluation_windows: at most how many windows an evaluation reads.

    Raises:
      ParameterError: no such file; no .npy of integers on one axis; too few for three parts of
        2 tokens; without a vocabulary, a token below 0.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/tokens.npy", np.arange(1000, dtype=np.uint16) % 7)
    ...     task = Tokens(seed=0, path=f"{folder}/tokens.npy")
    ...     batch = task.batch("train", step=0, batch_size=2, length=4)
    >>> task.spec.input_size, batch.inputs.shape
    (7, (2, 4))
    >>> bool(((batch.inputs + 1) % 7 == batch.targets).all())
    True
    """

    score = "loss"
    """Said by the class, for runs of a time when they didn't note it: they measured accuracy too,
    by which others are judged."""

    def __init__(
        self,
        seed: int,
        path: str,
        vocabulary: int | None = None,
        held_out: float = 0.05,
        evaluation_windows: int = 256,
    ):
        require_least(2, vocabulary=vocabulary)
        require_held_out(held_out)
        require_least(1, evaluation_windows=evaluation_windows)
        self.seed = seed
        self.path = path
        self.places = {"path": absolute(path, "path")}
        self.kept_bytes = 0
        self.evaluation_windows = evaluation_windows
        tokens = _open(path)
        size = int(held_out * len(tokens))
        if size < 2:
            raise ParameterError(
                f"path={path!r} holds {len(tokens)} tokens, of which held_out={held_out} leaves "
                f"{size} to validation and to test; at least 2 are needed in each"
            )
        first, second = len(tokens) - 2 * size, len(tokens) - size
        self.parts: dict[Split, tuple[int, int]] = {
            "train": (0, first),
            "validation": (first, second),
            "test": (second, len(tokens)),
        }
        self.vocabulary = _largest(tokens, path) + 1 if vocabulary is None else vocabulary
        self.tokens = tokens
        self.spec = TaskSpec(
            "many-to-many",
            "tokens",
            input_size=self.vocabulary,
            outputs=self.vocabulary,
            causal=True,
            score=self.score,
            higher_is_better=False,
        )

    def reads(self) -> dict[str, Path]:
        path = Path(self.places["path"])
        return {path.name: path}

    def holds(self) -> dict[Split, str]:
        total = len(self.tokens)
        held: dict[Split, str] = {}
        for split, (start, end) in self.parts.items():
            held[split] = f"{end - start:,} tokens ({(end - start) / total:.1%})"
        return held

    def windows(self, split: Split, length: int) -> int:
        """How many windows of a length a part has, side by side."""
        start, end = self.parts[split]
        return (end - start - 1) // length

    def examples(self, split: Split, length: int) -> int:
        """The windows of an evaluation; in training those of an epoch."""
        windows = self.windows(split, length)
        return windows if split == "train" else max(1, min(self.evaluation_windows, windows))

    def rows(
        self, split: Split, step: int, batch_size: int, length: int, rows: Int[np.ndarray, "b"]
    ) -> Batch:
        """Tokens [B, L] and, at each position, the token that follows [B, L]."""
        start, end = self.parts[split]
        require_length(self, length, length >= 1, "a window has at least 1 token")
        why = f"the {split} part of {self.path} holds {end - start} tokens"
        require_length(self, length, self.windows(split, length) >= 1, why)
        windows = self.examples(split, length)
        why = f"an epoch of {windows:,} windows is above {MOST_WINDOWS:,}; take longer ones or less"
        require_length(self, length, split != "train" or windows <= MOST_WINDOWS, why)
        indices, weights = example_indices(windows, split, step, batch_size, self.seed)
        if split == "train":
            starts = start + indices * length
        else:
            starts = start + spread(indices, windows, end - start, length)
        places = starts[rows, None] + np.arange(length + 1)
        window = np.asarray(self.tokens[places])
        wrong = _outside(window, self.vocabulary)
        if wrong is not None:
            raise ConfigError(
                f"task.path: token {places.flat[wrong]} of {self.path} is {window.flat[wrong]}, "
                f"which is not at least 0 and below task.vocabulary={self.vocabulary}; set that "
                "to None to have it found"
            )
        window = window.astype(np.int32)
        weights = np.repeat(weights[rows, None], length, axis=1)
        return Batch(window[:, :-1], window[:, 1:], weights)

    metrics = staticmethod(classification_metrics)

    def chance(self, split: Split, length: int) -> float:
        """Nats a token by how often each comes."""
        return chance_of_examples(self, split, length)


def _open(path: str) -> np.memmap:
    """A row of whole numbers that stays on disk."""
    expanded = absolute(path, "path")
    if not os.path.isfile(expanded):
        folder = os.path.dirname(expanded)
        beside = os.listdir(folder) if os.path.isdir(folder) else []
        arrays = [os.path.join(os.path.dirname(path), n) for n in beside if n.endswith(".npy")]
        advice = nearest(path, arrays) if arrays else "it is written by np.save"
        raise ParameterError(f"path={path!r}: no such file; {advice}")
    try:
        array = np.lib.format.open_memmap(expanded, mode="r")
    except Exception as error:  # whatever NumPy meets in a header
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ParameterError(
            f"path={path!r} can't be read as a .npy file: {reason}; write it with np.save"
        ) from None
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ParameterError(
            f"path={path!r} holds an array of {array.dtype} of shape {array.shape}; integers on "
            "one axis are wanted: tokens.reshape(-1).astype(np.uint16)"
        )
    return array


def _largest(tokens: np.memmap, path: str) -> int:
    """The largest token, found piece by piece."""
    require(
        tokens.nbytes <= LARGEST_SCANNED,
        f"path={path!r} has {tokens.nbytes:,} bytes, above the {LARGEST_SCANNED:,} that are read "
        "to find the vocabulary; set vocabulary",
    )
    largest = 0
    for start in range(0, len(tokens), SCANNED_AT_ONCE):
        piece = np.asarray(tokens[start : start + SCANNED_AT_ONCE])
        wrong = _outside(piece, 2**31 - 1)
        if wrong is not None:
            raise ParameterError(
                f"path={path!r}: token {start + wrong} is {piece[wrong]}; tokens are at least 0 "
                "and below 2**31 - 1"
            )
        largest = max(largest, int(piece.max()))
    return largest


def _outside(tokens: Integer[np.ndarray, "..."], vocabulary: int) -> int | None:
    """The first place, all axes in one, where a token is below 0 or not below V; None without."""
    if int(tokens.min()) >= 0 and int(tokens.max()) < vocabulary:
        return None
    return int(np.flatnonzero((tokens < 0) | (tokens >= vocabulary))[0])
