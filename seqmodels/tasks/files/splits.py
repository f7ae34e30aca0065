"""What each split has of some files: what their names say, else its share of all that they hold."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

from seqmodels.earlier import Before
from seqmodels.errors import ParameterError, require
from seqmodels.tasks.base import SPLITS, Split

Splitting = Annotated[Literal["shares", "whole_files"], Before("whole_files")]
"""How files are put into splits (:func:`split_files`)."""

_WORDS: dict[Split, str] = {
    "train": "train training trainset trn",
    "validation": "val valid validation valset validset dev devel devset eval evaluation heldout "
    "holdout",
    "test": "test testing testset tst",
}
WORDS: dict[str, Split] = {word: split for split, words in _WORDS.items() for word in words.split()}
"""Words of a name that say a split."""


class Part(NamedTuple):
    """A stretch of a file."""

    name: str
    start: int
    end: int

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.end - self.start


Parts = dict[Split, list[Part]]


def split_files(
    sizes: Mapping[str, int],
    held_out: float,
    what: str,
    splitting: str = "shares",
    by_name: bool = True,
) -> Parts:
    """What each split has of some files; no byte is in two, and none is left out.

    With "shares", files whose names say a split are in that split: ``wiki.valid.tokens``,
    ``test/3.txt``, by :data:`WORDS`, a folder's before those of what is in it. Where no name says
    validation, or test, that has a share ``held_out`` of all, of files that say nothing as far as
    they are enough: whole ones by the order of a hash of their names, where each split then has
    at most half as much again as its share; else small files so, and of each larger one its end
    and what stands before that.

    With "whole_files" each file is whole and in the split of its name's hash, as in earlier
    versions: of three large files each split gets one, whichever that is.

    Args:
      sizes: how many bytes each file holds, by name.
      what: the setting that names the files, for messages.
      by_name: whether what names say counts; False where they are not a user's own.

    Raises:
      ParameterError: a split would be empty or far off its share.

    >>> parts = split_files({"a": 820, "b": 90, "c": 90}, held_out=0.1, what="files='x'")
    >>> {split: sum(part.size for part in parts[split]) for split in parts}
    {'train': 800, 'validation': 100, 'test': 100}
    >>> parts = split_files({"w.train": 90, "w.valid": 4, "w.test": 6}, 0.1, "files='x'")
    >>> [part.name for part in parts["test"]]
    ['w.test']
    """
    if splitting == "whole_files":
        require(
            len(sizes) >= 3,
            f"{what} has {len(sizes)} files; splitting='whole_files' needs at least 3, one for "
            "each split",
        )
        return _whole(split_whole_files(sizes, held_out), sizes)
    said = said_splits(sizes) if by_name else {}
    total = sum(sizes.values())
    aims: dict[Split, float] = {
        split: held_out * total for split in SPLITS[1:] if split not in said.values()
    }
    shared = {name: size for name, size in sizes.items() if name not in said}
    if sum(shared.values()) < 2 * sum(aims.values()):  # then of what names say is for training
        shared |= {name: sizes[name] for name, split in said.items() if split == "train"}
    require(
        not aims or sum(shared.values()) > sum(aims.values()),
        f"{what}: of {len(sizes)} files so many have names that say validation or test that too "
        "little is left to train on; rename some, or add files",
    )
    parts = _shared(shared, aims)
    for name, split in said.items():
        if name not in shared:
            parts[split].append(Part(name, 0, sizes[name]))
    held = {split: sum(part.size for part in parts[split]) for split in SPLITS}
    least = least_trained(held_out) * total
    off = not all(_is_about(held[split], aim) for split, aim in aims.items())
    if off or held["train"] < least or not all(held.values()):
        shares = ", ".join(f"{split} {held[split] / total:.1%}" for split in SPLITS)
        raise ParameterError(
            f"{what} leaves {shares} of {total:,} bytes, where validation and test are to "
            f"have {held_out:.0%} each, and training at least {least / total:.0%}: rename "
            f"files whose names say another split than is meant ({', '.join(WORDS)}), or add some"
        )
    return parts


def least_trained(held_out: float) -> float:
    """Of all: where names leave less to train on, they are taken for a mistake."""
    return min(0.4, (1 - 2 * held_out) / 2)


def said_splits(names: Iterable[str]) -> dict[str, Split]:
    """The split that each name says; nothing where all say one, which tells nothing apart.

    >>> said_splits(["wiki.train.raw", "dev/train-1", "latest.txt", "tests.py"])
    {'wiki.train.raw': 'train', 'dev/train-1': 'validation'}
    """
    splits: dict[str, Split | None] = {name: _said(name) for name in names}
    said: dict[str, Split] = {name: split for name, split in splits.items() if split is not None}
    return {} if len(set(splits.values())) == 1 else said


_WORD = re.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
"""Also those of names such as ``trainData`` and ``XTest``."""


def _said(name: str) -> Split | None:
    for part in name.split("/"):
        words = [word.lower() for word in _WORD.findall(part)]
        splits: list[Split] = [WORDS[word] for word in words if word in WORDS]
        if len(set(splits)) == 1:
            return splits[0]
    return None


def _whole(names: Mapping[Split, list[str]], sizes: Mapping[str, int]) -> Parts:
    return {split: [Part(name, 0, sizes[name]) for name in names[split]] for split in SPLITS}


def _shared(sizes: Mapping[str, int], aims: Mapping[Split, float]) -> Parts:
    """Files of which each split of ``aims`` gets about so many bytes, and training the rest."""
    total = sum(sizes.values())
    shares: dict[Split, float] = {**aims, "train": total - sum(aims.values(), 0.0)}
    wholes = _in_turn(sizes, aims)
    held = {split: sum(sizes[name] for name in wholes[split]) for split in shares}
    if all(_is_about(held[split], share) for split, share in shares.items()):
        return _whole(wholes, sizes)
    largest = min(shares.values()) / 4
    small = {name: size for name, size in sizes.items() if size <= largest}
    few = sum(small.values()) / total
    parts = _whole(_in_turn(small, {split: aim * few for split, aim in aims.items()}), small)
    wanted = {split: aim - sum(part.size for part in parts[split]) for split, aim in aims.items()}
    large = sum(sizes.values()) - sum(small.values())
    before = 0
    for name in sorted(sizes.keys() - small.keys()):
        end, after = sizes[name], before + sizes[name]
        for split in ("test", "validation"):
            # Rounded so that all files together give what is wanted.
            share = max(0.0, wanted.get(split, 0.0)) / large
            start = max(0, end - round(share * after) + round(share * before))
            parts[split].append(Part(name, start, end))
            end = start
        parts["train"].append(Part(name, 0, end))
        before = after
    return {split: [part for part in parts[split] if part.size] for split in SPLITS}


def _is_about(held: int, share: float) -> bool:
    return share / 1.5 <= held <= 1.5 * share + 1


def _in_turn(sizes: Mapping[str, int], aims: Mapping[Split, float]) -> dict[Split, list[str]]:
    """Whole files by a hash of their names: the first to test until it has its aim, and so on."""
    in_order = sorted(sizes, key=_hashed)
    parts: dict[Split, list[str]] = {"train": [], "validation": [], "test": []}
    for split in ("test", "validation"):
        held = 0
        while in_order and held < aims.get(split, 0.0):
            held += sizes[in_order[0]]
            parts[split].append(in_order.pop(0))
    parts["train"] = in_order
    return parts


def split_whole_files(
    sizes: Mapping[str, int], held_out: float, said: Mapping[str, Split] | None = None
) -> dict[Split, list[str]]:
    """Each file's split, by the order of a hash of its name, whatever else it lies beside.

    The first files go to test until they have a share of all that the files hold, the next to
    validation, the others to training; each split has at least one.

    Args:
      sizes: what each of at least 3 files holds, by name.
      said: the split of those whose names say it; the others are for the splits that lack one,
        and for training.

    >>> split_whole_files({"a": 1, "b": 1, "c": 1, "d": 1}, held_out=0.25)
    {'train': ['b', 'a'], 'validation': ['c'], 'test': ['d']}
    """
    said = said or {}
    in_order = sorted((n for n in sizes if said.get(n, "train") == "train"), key=_hashed)
    wanted = held_out * sum(sizes.values())
    parts: dict[Split, list[str]] = {
        split: [name for name in said if said[name] == split] for split in SPLITS
    }
    lacking: list[Split] = [split for split in ("test", "validation") if not parts[split]]
    for place, split in enumerate(lacking):  # one file stays for each later split
        others = len(lacking) - place
        while len(in_order) > others and sum(sizes[name] for name in parts[split]) < wanted:
            parts[split].append(in_order.pop(0))
    parts["train"] = in_order
    return parts


def _hashed(name: str) -> bytes:
    # A file's name may hold bytes that are not UTF-8.
    return hashlib.sha256(name.encode(errors="surrogateescape")).digest()


def require_classes(names: Sequence[str], what: str) -> None:
    """Refuses classes that are all called after splits: the classes are what lies within them."""
    require(
        not all(_said(name) for name in names),
        f"{what}: its folders {', '.join(names)} are splits by their names and no classes; put "
        "the class first, and the split into what follows: cats/train-1",
    )


def require_held_out(held_out: float) -> None:
    """Refuses a share for validation and again for test that leaves nothing to train on."""
    require(0 < held_out < 0.5, f"held_out={held_out} is not above 0 and below 0.5")
