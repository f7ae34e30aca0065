"""What devices send to one another in a compiled program: its collectives, read from its text."""

import math
import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
"""The collectives of XLA that are counted."""


class Collective(NamedTuple):
    """All of a kind that a device takes part in."""

    count: int
    """How many are run, those in a loop as often as it goes round."""
    bytes: int
    """Of the operands, on one device."""
    sent: int
    """Bytes that a device must send at the least, by a ring through its group of k of them: of n
    bytes 2 n (k - 1) / k for an all-reduce, n (k - 1) / k for a reduce-scatter or an all-to-all,
    n (k - 1) for an all-gather, which gathers so many others' too, and n for a permutation."""


class Traffic(NamedTuple):
    """What a device sends in one run of a program."""

    kinds: dict[str, Collective]
    """Of each of KINDS."""
    complete: bool
    """Whether the program says of each loop with a collective in it how often it goes round; a
    loop of which it doesn't is counted once."""

    @property
    def sent(self) -> int:
        return sum(kind.sent for kind in self.kinds.values())

    def with_(self, other: "Traffic", times: int | None = 1) -> "Traffic":
        """This, and another so often; None where only the data say how often."""
        kinds = dict(self.kinds)
        for kind, more in other.kinds.items():
            pairs = zip(kinds[kind], more, strict=True)
            kinds[kind] = Collective(*(total + (times or 1) * part for total, part in pairs))
        counted = times is not None or not any(more.count for more in other.kinds.values())
        return Traffic(kinds, self.complete and other.complete and counted)


class _Line(NamedTuple):
    """An instruction: ``name = shape operation(operands), rest``."""

    name: str
    shape: str
    operation: str
    operands: tuple[str, ...]
    rest: str


def traffic(program: str) -> Traffic:
    """The collectives of a program that a device runs, as ``compiled.as_text()`` has it.

    Each branch of a condition counts as if it were taken.

    Raises:
      ValueError: the text holds no program.
    """
    computations, entry = _computations(program)
    devices = int(found[1]) if (found := re.search(r"num_partitions=(\d+)", program)) else 1

    @cache  # many instructions call the same
    def of(computation: str) -> Traffic:
        lines = computations[computation]
        shapes = {line.name: line.shape for line in lines}
        total = Traffic(dict.fromkeys(KINDS, Collective(0, 0, 0)), True)
        for line in lines:
            kind = line.operation.removesuffix("-start")
            if kind in KINDS:  # what it adds by, which it calls, is no traffic
                size = sum(_bytes(shapes[name]) for name in line.operands)
                one = Collective(1, size, _sent(kind, size, _group(line.rest, devices)))
                total = total.with_(Traffic({kind: one}, True))
                continue
            times = _trips(line)
            for called in _called(line):
                total = total.with_(of(called), times)
        return total

    return of(entry)


def _computations(program: str) -> tuple[dict[str, list[_Line]], str]:
    """The instructions by computation, and the name of the one that is run."""
    found: dict[str, list[_Line]] = {}
    entry = inside = None
    for text in program.splitlines():
        if head := re.match(r"(ENTRY )?%?([\w.\-]+) .*\{$", text):
            inside = head[2]
            found[inside] = []
            entry = inside if head[1] else entry
        elif text.startswith("}"):
            inside = None
        elif inside is not None and (line := _line(text)) is not None:
            found[inside].append(line)
    if entry is None:
        raise ValueError("no program: the text has no ENTRY")
    return found, entry


def _line(text: str) -> _Line | None:
    begin = re.match(r"\s+(?:ROOT )?%?([\w.\-]+) = ", text)
    if begin is None:
        return None
    rest = re.sub(r"/\*.*?\*/", "", text[begin.end() :])  # every fifth value's number
    # The shape of several values has spaces, and one's layout on a TPU parentheses.
    end = _closing(rest) + 1 if rest.startswith("(") else rest.index(" ")
    shape, rest = rest[:end], rest[end:].lstrip()
    operation, _, _ = rest.partition("(")
    rest = rest[len(operation) :]
    end = _closing(rest)
    operands = [words.split()[-1].lstrip("%") for words in _split(rest[1:end])]
    return _Line(begin[1], shape, operation, tuple(operands), rest[end + 1 :])


def _closing(text: str) -> int:
    """Where the parenthesis that a text begins with is closed."""
    depth = 0
    for place, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0:
            return place
    return len(text)


def _split(text: str) -> Iterator[str]:
    """What stands between the commas outside of all brackets."""
    depth, start = 0, 0
    for place, letter in enumerate(f"{text},"):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            if text[start:place].strip():
                yield text[start:place].strip()
            start = place + 1


def _bytes(shape: str) -> int:
    """Of an array, or of several together."""
    total = 0
    for kind, axes in re.findall(r"\b([a-z]+\d*\w*)\[([\d,]*)\]", shape):
        size = math.prod(int(axis) for axis in axes.split(",") if axis)
        total += size * _bits(kind) // 8
    return total


def _bits(kind: str) -> int:
    """Of a number: bf16, s32, f8e4m3fn, c64, pred."""
    digits = re.match(r"[a-z]+(\d+)", kind)
    return int(digits[1]) if digits else {"pred": 8}.get(kind, 0)


def _group(rest: str, devices: int) -> int:
    """How many devices take part in one, the first if they are unequal.

    Written as the axes of a mesh, of which one may be split (``'data':(2)4``), as the shape of all
    groups, or as a list of them.
    """
    if found := re.search(r"replica_groups=mesh\[(.*?)\].*?\{(.*?)\}", rest):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", found[1]))
        along = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", found[2])
        return math.prod(int(part or sizes[axis]) for axis, part in along)
    if found := re.search(r"replica_groups=\[(\d+),(\d+)\]", rest):
        return int(found[2])
    if found := re.search(r"replica_groups=\{\{([\d,]+)\}", rest):
        return found[1].count(",") + 1
    return devices


def _sent(kind: str, size: int, group: int) -> int:
    if kind == "collective-permute":
        return size
    if kind == "all-gather":
        return size * (group - 1)
    return (2 if kind == "all-reduce" else 1) * size * (group - 1) // group


def _trips(line: _Line) -> int | None:
    """How often what an instruction calls is run; None where only the data say it."""
    if line.operation != "while":
        return 1
    found = re.search(r'"known_trip_count":\{"n":"(\d+)"', line.rest)
    return int(found[1]) if found else None


def _called(line: _Line) -> list[str]:
    """The computations that an instruction runs, but for a loop's condition."""
    if line.operation.endswith(("-done", "-update")):
        return []
    named = re.findall(
        r"\b(?:calls|body|to_apply|\w+_computations?)=(\{[^}]*\}|[\w.\-%]+)", line.rest
    )
    return [name for names in named for name in re.findall(r"[\w.\-]+", names)]
