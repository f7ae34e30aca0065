"""Tasks that write sequences, and sets, against definitions written apart from them."""

import datetime
import re
from collections import Counter

import numpy as np
import pytest

from seqmodels.errors import ParameterError
from seqmodels.tasks.base import SPLITS, Batch
from seqmodels.tasks.generated.dates import Dates
from seqmodels.tasks.generated.sets import Set
from seqmodels.tasks.generated.transduction import Reverse
from seqmodels.tasks.prepared.digits import Digits
from seqmodels.tasks.prepared.digits_from_class import DigitsFromClass
from tests.tasks.test_tasks import make

WRITTEN = {
    "reverse": lambda symbols: symbols[::-1],
    "sort": sorted,
    "copy_string": list,
    "duplicate": lambda symbols: symbols + symbols,
    "odds_first": lambda symbols: symbols[::2] + symbols[1::2],
}


def sources_and_targets(batch: Batch, end: int) -> list[tuple[list[int], list[int]]]:
    """Each row without its padding, and what counts of its targets; checks the end token."""
    rows = []
    for source, mask, target, weights in zip(
        batch.inputs, batch.mask, batch.targets, batch.weights, strict=True
    ):
        counted = target[weights > 0].tolist()
        assert (np.diff(weights) <= 0).all()
        assert (np.diff(mask.astype(int)) <= 0).all()
        assert counted[-1] == end
        assert (target[len(counted) - 1 :] == end).all()
        rows.append((source[mask].tolist(), counted[:-1]))
    return rows


@pytest.mark.parametrize("name", WRITTEN)
def test_strings_are_written_as_the_name_says(name):
    task = make(name)
    for step in range(20):  # 10,000 examples
        for source, target in sources_and_targets(task.batch("train", step, 500, 9), end=4):
            assert target == WRITTEN[name](source)


@pytest.mark.parametrize("name", WRITTEN)
def test_training_lengths_vary_and_evaluation_has_the_length_asked_for(name):
    task = make(name, shortest=3)
    lengths = Counter(task.batch("train", 0, 700, 9).mask.sum(axis=1).tolist())
    assert lengths.keys() == set(range(3, 10))
    assert min(lengths.values()) > 60  # 100 are expected of each
    for split in ("validation", "test"):
        assert task.batch(split, 0, 10, 9).mask.all()


def test_strings_are_shown_up_to_their_end():
    task = make("reverse")
    assert task.show_source(np.array([3, 0, 1])) == "3 0 1"
    assert task.show_target(np.array([1, 0, 3, 4, 2, 4])) == "1 0 3"
    assert task.show_target(np.array([1, 0])) == "1 0"


def test_sources_are_read_as_they_are_shown():
    for task, text in ((make("reverse"), "3 0 1"), (Dates(seed=0), "the 3rd of May 1999")):
        assert task.show_source(task.read_source(text)) == text
    assert DigitsFromClass(seed=0).read_source("7") == 7


@pytest.mark.parametrize(
    ("task", "text", "message"),
    [
        (
            Reverse(seed=0),
            "3 10",
            "['10'] is no word of this task; known: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        ),
        (Reverse(seed=0), " ", "' ' holds no word; write some of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        (Dates(seed=0), "3/4/1999", "['/'] is in no date; known: "),
        (Dates(seed=0), "", "'' is no date; write one, such as '3 March 1999'"),
        (DigitsFromClass(seed=0), "12", "'12' is no digit from 0 to 9"),
        (DigitsFromClass(seed=0), "", "'' is no digit from 0 to 9"),
    ],
)
def test_a_source_that_a_task_can_not_read(task, text, message):
    with pytest.raises(ParameterError) as raised:
        task.read_source(text)
    assert str(raised.value).startswith(message)


def test_a_written_image_shows_its_ink():
    shown = DigitsFromClass(seed=0).show_target(np.arange(64) % 17)
    lines = shown.splitlines()
    assert [len(line) for line in lines] == [16] * 8
    assert lines[0].startswith("  ....::")
    assert "@@" in shown


def read_date(text: str) -> datetime.date:
    """A parser of its own: a year of four digits, a month's first letters, and a day."""
    text = text.lower()
    year = re.search(r"\d{4}", text)
    day = re.search(r"(?<!\d)\d{1,2}(?!\d)", text)
    months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    words = [word[:3] for word in re.findall(r"[a-z]+", text)]
    month = next(months.index(word) + 1 for word in words if word in months)
    assert year
    assert day
    date = datetime.date(int(year[0]), month, int(day[0]))
    names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    named = [names.index(word) for word in words if word in names]
    assert named in ([], [date.weekday()])
    suffix = re.search(r"\d(st|nd|rd|th)", text)
    endings = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}
    assert suffix is None or suffix[1] == endings.get(date.day, "th")
    return date


def dates_of(split: str, rows: int = 3000) -> list[tuple[str, str]]:
    """Sources and targets of a split, as text."""
    task = Dates(seed=0)
    batch = task.batch(split, 0, rows, 30)
    return [
        (task.show_source(source).strip(), task.show_target(target))
        for source, target in zip(batch.inputs, batch.targets, strict=True)
    ]


def test_dates_are_what_their_sources_say():
    pairs = dates_of("train")
    for source, target in pairs:
        assert read_date(source).isoformat() == target
    shapes = {re.sub(r"[a-z]+", "a", re.sub(r"\d+", "0", s.lower())) for s, _ in pairs}
    assert len(shapes) > 8


@pytest.mark.slow
def test_a_day_belongs_to_one_split():
    days = [{target for _, target in dates_of(split)} for split in SPLITS]
    assert not days[0] & days[1]
    assert not days[0] & days[2]
    assert not days[1] & days[2]


@pytest.mark.parametrize("operation", ["maximum", "count"])
def test_sets_are_answered_as_the_name_says(operation):
    task = Set(seed=0, operation=operation, symbols=6)
    answers: Counter = Counter()
    for step in range(20):
        batch = task.batch("train", step, 100, 12)
        for row, mask, answer in zip(batch.inputs, batch.mask, batch.targets, strict=True):
            members = row[mask].tolist()
            expected = max(members) if operation == "maximum" else members.count(0)
            assert answer == expected
            answers[expected] += 1
    assert answers.keys() == set(range(6))
    assert max(answers.values()) < 0.4 * sum(answers.values())


def test_pixels_of_a_class_are_those_of_the_digits():
    plain = Digits(seed=0).batch("test", 1, 8, 64)
    written = DigitsFromClass(seed=0).batch("test", 1, 8, 64)
    np.testing.assert_array_equal(written.inputs, plain.targets)
    np.testing.assert_allclose(written.targets / 16, plain.inputs[:, :, 0])


def test_digits_on_a_grid_are_the_same_digits():
    for split in SPLITS:
        sequence = Digits(seed=0).batch(split, 3, 8, 64)
        grid = Digits(seed=0, layout="grid").batch(split, 3, 8, 64)
        assert grid.inputs.shape == (8, 8, 8, 1)
        np.testing.assert_array_equal(grid.inputs.reshape(8, 64, 1), sequence.inputs)
        np.testing.assert_array_equal(grid.targets, sequence.targets)
    assert Digits(seed=0, layout="grid").spec.rank == 2
