"""What docs/tasks.md says of a task beyond what the task itself says.

Of one that has no entry it says the first line of its docstring, and shows its default settings.
"""

from typing import Any, NamedTuple

from seqmodels.tasks import TASKS
from seqmodels.tasks.base import Task
from seqmodels.tasks.chance import levels


class Entry(NamedTuple):
    """One task of docs/tasks.md."""

    tests: str
    """What it takes to answer."""
    source: str
    settings: dict[str, Any]
    """Of the example that is shown; small."""
    length: int
    kinds: dict[str, int] | None = None
    """How many of its tokens are of each kind, in the order of their numbers."""
    words: str = ""
    """What its tokens are called, with spaces between; numbers, or as the task shows, if empty."""
    measured: tuple[tuple[dict[str, Any], int], ...] = (({}, 64),)
    """Settings and lengths at which the cost of generation is measured."""
    keeps: bool = False
    """Whether it keeps what it has read, so that the first reading costs more."""


def chance_cell(task: Task, length: int) -> str:
    """What a score on test is held against: ``12.5%``, or with the score where it is no share."""
    score, held = task.spec.score, levels(task, "test", length)
    unit = "" if score == "accuracy" else f" ({score.replace('_', ' ')})"
    if score not in ("accuracy", "exact_match"):
        return f"{held['chance']:.3g}{unit}"
    chance, *shown = (f"{100 * x:.3g}%" if x > 1e-5 else "0" for x in held.values())
    return f"{chance}{unit}" + "".join(f"; {x} by one of those shown" for x in shown)


_STRING: dict[str, Any] = {"symbols": 5}
_DELETANG, _MAD = "Delétang et al. 2022", "Poli et al. 2024 (MAD)"
_STRINGS: tuple[tuple[dict[str, Any], int], ...] = (({}, 64), ({}, 500))
_EXPRESSION = "0 1 2 3 4 + - * ( )"

ENTRIES: dict[str, Entry] = {
    "adding": Entry(
        "holding two marked numbers and adding them", "Hochreiter and Schmidhuber 1997", {}, 16,
        measured=(({}, 64), ({}, 1000)),
    ),
    "compression": Entry(
        "how much one vector holds", _MAD, _STRING, 10, {"symbol": 5, "end": 1},
        measured=(({}, 32), ({}, 64)),
    ),
    "copy": Entry(
        "holding a pattern of fixed size", "Hochreiter and Schmidhuber 1997, Arjovsky et "
        "al. 2016", {"pattern": 4, "symbols": 5}, 16, {"blank": 1, "symbol": 5, "now": 1},
        ". 1 2 3 4 5 >", (({}, 64), ({}, 1020)),
    ),
    "copy_string": Entry(
        "holding a string", "Sutskever et al. 2014", _STRING, 8, {"symbol": 5, "end": 1},
        measured=_STRINGS,
    ),
    "cycle_navigation": Entry(
        "counting modulo 5", _DELETANG, {}, 16, {"step": 3}, "0 +1 -1", _STRINGS,
    ),
    "dates": Entry(
        "rewriting characters, with a table of months", "this repository", {}, 29,
    ),
    "delayed_copy": Entry(
        "holding half of the sequence", "Arjovsky et al. 2016", {"delay": 4, "symbols": 5},
        16, {"blank": 1, "symbol": 5, "now": 1}, ". 1 2 3 4 5 >", (({}, 64), ({}, 1016)),
    ),
    "digits": Entry("reading an image", "Alpaydin and Kaynak 1998", {}, 64),
    "digits_from_class": Entry("writing an image", "Alpaydin and Kaynak 1998", {}, 64),
    "duplicate": Entry(
        "holding a string and reading it twice", _DELETANG, _STRING, 6,
        {"symbol": 5, "end": 1}, measured=_STRINGS,
    ),
    "even_pairs": Entry(
        "comparing the first symbol with the last", _DELETANG, {}, 16, {"symbol": 2},
        measured=_STRINGS,
    ),
    "flip_flop": Entry(
        "one bit, whatever lies between", "Liu et al. 2023 (Exposing Attention Glitches)",
        {"ignored": 0.4}, 16, {"bit": 2, "instruction": 3}, "0 1 write read ignore",
        (({}, 64), ({}, 512)),
    ),
    "frozen": Entry(
        "what the task does whose examples were frozen (here recall)",
        "`seqmodels freeze`", {}, 18, {"blank": 1, "key": 5, "value": 6},
        ". 1 2 3 4 5 6 7 8 9 10 11", keeps=True,
    ),
    "fuzzy_recall": Entry(
        "recall where keys and values are of several tokens", _MAD,
        {"vocabulary": 10, "motif": 2}, 20, {"key": 4, "value": 4, "mark": 1, "filler": 1},
        "0 1 2 3 4 5 6 7 ? .", (({}, 64), ({"vocabulary": 128}, 128)),
    ),
    "images": Entry(
        "reading an image (here digits)", "files of one's own", {}, 64, keeps=True,
    ),
    "in_context_recall": Entry(
        "recall of what a key had, at each of its returns", _MAD, {"vocabulary": 8}, 16,
        {"key": 4, "value": 4}, measured=(({}, 64), ({"vocabulary": 128}, 128)),
    ),
    "induction": Entry(
        "finding the same token and reading the next", "Olsson et al. 2022, Gu and Dao "
        "2023", {"vocabulary": 10}, 16, {"special": 1, "token": 9}, "! 1 2 3 4 5 6 7 8 9",
        (({}, 64), ({}, 256), ({}, 16384)),
    ),
    "listops": Entry(
        "evaluating nested operations", "Nangia and Bowman 2018, Tay et al. 2021",
        {"arguments": 4}, 28,
        {"digit": 10, "operation": 4, "bracket": 1}, "0 1 2 3 4 5 6 7 8 9 MIN MAX MED SM ]",
        (({}, 64), ({}, 2000)),
    ),
    "memorisation": Entry(
        "facts that stand in no input", _MAD, {"vocabulary": 9}, 12,
        {"key": 4, "value": 4, "mark": 1}, "0 1 2 3 4 5 6 7 ?", (({}, 32), ({}, 64)),
    ),
    "modular_arithmetic": Entry(
        "a sum of products modulo 5", _DELETANG, {}, 15, {"number": 5, "sign": 3},
        _EXPRESSION, (({}, 63), ({}, 499)),
    ),
    "modular_arithmetic_brackets": Entry(
        "a stack", _DELETANG, {}, 18, {"number": 5, "sign": 3, "bracket": 2}, _EXPRESSION,
        (({}, 64), ({}, 40), ({}, 500)),
    ),
    "multi_hop_recall": Entry(
        "recall of what was recalled", "Sanford et al. 2024 (induction over k hops), here on pairs",
        {"vocabulary": 16, "chains": 2}, 12, {"blank": 1, "token": 15},
        ". A B C D E F G H I J K L M N O", (({}, 64), ({}, 256)),
    ),
    "needle": Entry(
        "finding one answer at a distance that is set", "this repository",
        {"vocabulary": 10, "distance": 7}, 16, {"mark": 1, "question": 1, "token": 8},
        "! ? 2 3 4 5 6 7 8 9", (({}, 64), ({}, 4096)),
    ),
    "odds_first": Entry(
        "reading a string in another order", _DELETANG, _STRING, 8, {"symbol": 5, "end": 1},
        measured=_STRINGS,
    ),
    "palindrome": Entry(
        "half of the sequence, backwards", "Kimi Team 2025 (Kimi Linear)", {"symbols": 5}, 12,
        {"ask": 1, "symbol": 5}, "? 1 2 3 4 5", (({}, 64), ({}, 1024)),
    ),
    "parity": Entry("counting modulo 2", _DELETANG, {}, 16, {"symbol": 2}, measured=_STRINGS),
    "pathfinder": Entry(
        "following a path over an image", "Linsley et al. 2018, Kim et al. 2020, Tay et al. "
        "2021", {}, 1024, measured=(({}, 1024), ({"side": 128}, 16384)),
    ),
    "phone_book": Entry(
        "copying what belongs to a name", "Jelassi et al. 2024 (Repeat After Me)",
        {"letters": 2, "digits": 2}, 24, {"blank": 1, "digit": 10, "letter": 26},
        ". 0 1 2 3 4 5 6 7 8 9 A B C D E F G H I J K L M N O P Q R S T U V W X Y Z",
        (({}, 64), ({}, 512)),
    ),
    "recall": Entry(
        "recall of several pairs", "Arora et al. 2023 (Zoology)",
        {"vocabulary": 12, "pairs": 3}, 18, {"blank": 1, "key": 5, "value": 6},
        ". 1 2 3 4 5 6 7 8 9 10 11",
        (({}, 64), ({"vocabulary": 8192}, 64), ({"vocabulary": 8192, "pairs": 64}, 512)),
    ),
    "reverse": Entry(
        "holding a string, its last symbol first", _DELETANG, _STRING, 8, {"symbol": 5, "end": 1},
        measured=_STRINGS,
    ),
    "same_file": Entry(
        "comparing two stretches of source", "Tay et al. 2021 (Retrieval), files of this "
        "machine", {}, 27, {"byte": 256, "separator": 1}, measured=(({}, 64), ({}, 4096)),
    ),
    "selective_copy": Entry(
        "holding what matters and nothing else", "Gu and Dao 2023, " + _MAD,
        {"pattern": 4, "symbols": 5}, 16, {"blank": 1, "symbol": 5, "now": 1}, ". 1 2 3 4 5 >",
        (({}, 64), ({}, 4096)),
    ),
    "set": Entry(
        "a maximum or a count, whatever the order", "this repository", {"symbols": 8}, 10,
        {"number": 8},
        measured=(({}, 64), ({"operation": "count"}, 8), ({"operation": "count"}, 64)),
    ),
    "sort": Entry(
        "counting each symbol (bucket sort)", _DELETANG, _STRING, 8, {"symbol": 5, "end": 1},
        measured=_STRINGS,
    ),
    "source_package": Entry(
        "which package a stretch of source is from", "Tay et al. 2021 (Text), files of "
        "this machine", {}, 28, {"byte": 256}, measured=(({}, 64), ({}, 4096)),
    ),
    "stack_manipulation": Entry(
        "a stack", _DELETANG, {}, 10, {"symbol": 2, "action": 3},
        "0 1 pop +0 +1", (({}, 64), ({}, 40), ({}, 500)),
    ),
    "stacks": Entry(
        "many stacks at once", "Kimi Team 2025 (Kimi Linear)", {"stacks": 2, "symbols": 5}, 18,
        {"action": 2, "stack": 2, "symbol": 5}, "push pop A B 1 2 3 4 5", (({}, 63), ({}, 1023)),
    ),
    "text": Entry(
        "the next byte of source text", "files of this machine", {}, 24, {"byte": 256},
        measured=(({}, 64), ({}, 1024)),
    ),
    "tfds": Entry(
        "the class of an image, a text or a sound (here a small set; the real ones, such as mnist, "
        "are read the same way)", "tensorflow-datasets", {}, 64, keeps=True,
    ),
    "tfds_pairs": Entry(
        "text to text, such as translation (here a small set; the real ones are read the same way)",
        "tensorflow-datasets", {}, 29, {"byte": 256, "end": 1}, keeps=True,
    ),
    "tokens": Entry(
        "the next token of one's own (here a random walk)", "files of one's own", {}, 24,
        {"token": 12}, measured=(({}, 64), ({}, 1024)),
    ),
    "word_problem": Entry(
        "tracking a state of a group, solvable (S3) or not (S5)",
        "Liu et al. 2022, Merrill et al. 2024", {"group": "s3"}, 16, {"permutation": 6},
        measured=(({}, 64), ({"group": "s3"}, 64), ({}, 512)),
    ),
}  # fmt: skip


def entry_of(kind: str) -> Entry:
    """What is said of a task."""
    first = (TASKS[kind].__doc__ or kind).strip().partition("\n")[0]
    return ENTRIES.get(kind) or Entry(first[0].lower() + first[1:].rstrip("."), "–", {}, 64)
