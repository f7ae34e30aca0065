"""Sequence-to-sequence on characters: dates as people write them, to their ISO form."""

import datetime
from functools import lru_cache

import numpy as np
from numpy.random import Generator

from seqmodels.arrays import AnyArray, Int
from seqmodels.errors import require
from seqmodels.tasks.base import Batch, Split, TaskSpec, require_length, until
from seqmodels.tasks.generated.task import GeneratedTask

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# {d} and {m} are the day and the month's name; {o} is the day's suffix, {w} the weekday.
FORMATS = (
    "{d} {m} {y}",
    "{d}{o} {m} {y}",
    "{d}-{m3}-{y}",
    "{d}. {m3} {y}",
    "{m} {d}, {y}",
    "{m3} {d} {y}",
    "{m} {d}{o}, {y}",
    "{y} {m} {d}",
    "{w}, {d} {m} {y}",
    "{w3} {d} {m3} {y}",
    "{w}, {m} {d}, {y}",
    "the {d}{o} of {m} {y}",
)
CASES = (str, str.lower, str.upper)
FIRST, LAST = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)
DAYS = (LAST - FIRST).days + 1
SPLIT_SEED = 2026
SPLIT_SHARES = {"test": 0.1, "validation": 0.1}
ALPHABET = " ,-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
TARGET_ALPHABET = "0123456789-"
END = len(TARGET_ALPHABET)
LONGEST = len("Wednesday, September 29, 2099")


class Dates(GeneratedTask):
    """Write a date, in one of a dozen formats and three cases, as its ISO form.

    Days are from 1900 to 2099. Each belongs to one split (8 : 1 : 1, drawn once, whatever the
    seed), so that no day that is tested was trained on, in any format. Sources are padded
    to ``length``; targets are ten characters and an end token. The score is exact match, which
    equals that of what the model writes greedily (see the task ``reverse``).

    >>> task = Dates(seed=0)
    >>> batch = task.batch("test", step=0, batch_size=2, length=29)
    >>> for source, target in zip(batch.inputs, batch.targets):
    ...     print(task.show_source(source).strip(), "|", task.show_target(target))
    the 19th of april 1997 | 1997-04-19
    TUESDAY, DECEMBER 19, 1995 | 1995-12-19
    """

    spec = TaskSpec(
        "sequence-to-sequence",
        "tokens",
        input_size=len(ALPHABET),
        outputs=len(TARGET_ALPHABET) + 1,
        score="exact_match",
        end=END,
    )

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Sources [B, L] with their mask; targets [B, 11]."""
        require_length(
            self, length, length >= LONGEST, f"the longest date takes {LONGEST} characters"
        )
        days = random.choice(_days(split), batch_size)
        formats = random.integers(len(FORMATS), size=batch_size)
        cases = random.integers(len(CASES), size=batch_size)
        inputs = np.zeros((batch_size, length), np.int32)
        mask = np.zeros((batch_size, length), bool)
        targets = np.full((batch_size, 11), END, np.int32)
        for row, (day, form, case) in enumerate(zip(days, formats, cases, strict=True)):
            source, target = _write(int(day), int(form), int(case))
            inputs[row, : len(source)] = source
            mask[row, : len(source)] = True
            targets[row, :10] = target
        return Batch(inputs, targets, np.ones(targets.shape), mask)

    def chance(self, split: Split, length: int) -> float:
        """1 / the days of the split."""
        return 1 / len(_days(split))

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B"]]:
        """How many characters a source has."""
        return {"length": np.asarray(batch.mask).sum(axis=1)}

    def show_source(self, row: Int[AnyArray, "L"]) -> str:
        return "".join(ALPHABET[token] for token in np.asarray(row))

    def show_target(self, row: Int[AnyArray, "P"]) -> str:
        return "".join(TARGET_ALPHABET[token] for token in until(row, END))

    def read_source(self, text: str) -> Int[np.ndarray, "L"]:
        wrong = [character for character in text if character not in ALPHABET]
        require(not wrong, f"{wrong[:1]} is in no date; known: {ALPHABET!r}")
        require(text != "", "'' is no date; write one, such as '3 March 1999'")
        return _tokens(text, ALPHABET)


@lru_cache(maxsize=3)
def _days(split: Split) -> Int[np.ndarray, "n"]:
    """The days, counted from FIRST, that belong to a split."""
    order = np.random.default_rng(SPLIT_SEED).permutation(DAYS)
    test, validation = (round(share * DAYS) for share in SPLIT_SHARES.values())
    parts = np.split(order, [test, test + validation])
    return dict(zip(("test", "validation", "train"), parts, strict=True))[split]


def _write(day: int, form: int, case: int) -> tuple[np.ndarray, np.ndarray]:
    """A date's tokens in a format, and those of its ISO form."""
    date = FIRST + datetime.timedelta(day)
    month, weekday = MONTHS[date.month - 1], WEEKDAYS[date.weekday()]
    text = FORMATS[form].format(
        d=date.day,
        o=_suffix(date.day),
        m=month,
        m3=month[:3],
        y=date.year,
        w=weekday,
        w3=weekday[:3],
    )
    return _tokens(CASES[case](text), ALPHABET), _tokens(date.isoformat(), TARGET_ALPHABET)


def _suffix(day: int) -> str:
    if 10 <= day <= 20:
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _tokens(text: str, alphabet: str) -> Int[np.ndarray, "n"]:
    return _codes(alphabet)[np.frombuffer(text.encode("ascii"), np.uint8)]


@lru_cache(maxsize=2)
def _codes(alphabet: str) -> Int[np.ndarray, "128"]:
    """The token of each ASCII character."""
    codes = np.zeros(128, np.int32)
    codes[np.frombuffer(alphabet.encode("ascii"), np.uint8)] = np.arange(len(alphabet))
    return codes
