"""The fields that tasks report of their examples: against plain loops, and what all promise."""

import numpy as np
import pytest

from seqmodels.tasks import TASKS
from seqmodels.tasks.base import Batch, SlicedTask
from tests.tasks.test_tasks import CASES, make

SLICED = [name for name in TASKS if hasattr(TASKS[name], "fields")]


def some_batch(name: str, length: int | None = None, rows: int = 200, **changes) -> tuple:
    task = make(name, **changes)
    batch = task.batch("train", 0, rows, length or CASES[name][1])
    return task.fields(batch), batch


def test_tasks_with_fields():
    wanted = {"needle", "induction", "recall", "in_context_recall", "fuzzy_recall", "listops"}
    wanted |= {"modular_arithmetic_brackets", "selective_copy", "word_problem", "adding", "text"}
    wanted |= {"reverse", "sort", "copy_string", "duplicate", "odds_first", "stack_manipulation"}
    assert wanted | {"compression", "dates", "digits", "set"} <= set(SLICED)


@pytest.mark.parametrize("name", SLICED)
def test_fields_are_whole_numbers_of_rows_or_targets(name):
    task, length = make(name), CASES[name][1]
    assert isinstance(task, SlicedTask)
    for split in ("train", "validation"):
        batch = task.batch(split, 2, 8, length)  # the last rows of validation count for nothing
        fields = task.fields(batch)
        assert fields
        for values in fields.values():
            assert values.shape in ((8,), batch.targets.shape)
            assert np.issubdtype(values.dtype, np.integer)
            assert values.min() >= 0


@pytest.mark.parametrize("name", SLICED)
def test_fields_of_a_row_are_the_same_wherever_it_stands(name):
    task, length = make(name), CASES[name][1]
    batch = task.batch("train", 0, 12, length)
    chosen = np.array([7, 3, 11, 3])
    part = Batch(*(None if array is None else array[chosen] for array in batch))
    fields, fields_of_part = task.fields(batch), task.fields(part)
    assert fields.keys() == fields_of_part.keys()
    for field, values in fields.items():
        np.testing.assert_array_equal(values[chosen], fields_of_part[field])


@pytest.mark.parametrize("name", ["needle", "induction", "recall"])
def test_distances_lead_back_to_the_answer(name):
    fields, batch = some_batch(name)
    answers = np.take_along_axis(batch.inputs, batch.positions - fields["distance"], axis=1)
    np.testing.assert_array_equal(answers, batch.targets)
    asked = batch.inputs[np.arange(200)[:, None], batch.positions]
    cues = np.take_along_axis(batch.inputs, batch.positions - fields["distance"] - 1, axis=1)
    np.testing.assert_array_equal(cues, 0 if name == "needle" else asked)
    assert len(set(fields["distance"].ravel().tolist())) > 3


def test_the_needle_reports_the_distance_that_it_was_given():
    fields, _ = some_batch("needle", distance=5)
    assert (fields["distance"] == 5).all()


def test_distances_of_symbols_to_copy():
    fields, batch = some_batch("selective_copy")
    for row, distances in zip(batch.inputs.tolist(), fields["distance"].tolist(), strict=True):
        places = [place for place, token in enumerate(row) if 1 <= token <= 4]
        assert distances == [len(row) - 3 + i - place for i, place in enumerate(places)]


def test_distances_between_marks():
    fields, batch = some_batch("adding")
    for row, distance in zip(batch.inputs[..., 1].tolist(), fields["distance"], strict=True):
        first, second = (place for place, mark in enumerate(row) if mark)
        assert distance == second - first


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_distances_to_where_a_key_was_last(noise):
    fields, batch = some_batch(
        "in_context_recall", vocabulary=10, noise=noise, noise_vocabulary=4 if noise else 0
    )
    for row, weights, distances in zip(
        batch.inputs.tolist(), batch.weights, fields["distance"].tolist(), strict=True
    ):
        last: dict[int, int] = {}
        for i, key in enumerate(row[::2]):
            expected = 2 * i - last[key] if weights[i] else 0
            assert distances[i] == expected
            last[key] = 2 * i + 1


def test_distances_to_where_a_fuzzy_key_was_last():
    fields, batch = some_batch("fuzzy_recall", length=40, vocabulary=10)
    seen = 0
    for row, weights, distances in zip(
        batch.inputs.tolist(), batch.weights, fields["distance"].tolist(), strict=True
    ):
        pairs: list[tuple[tuple[int, ...], int]] = []
        expected, place = [0] * len(row), 0
        while place < len(row):
            if row[place] >= 8:
                place += 1
                continue
            value = next(i for i in range(place, len(row)) if row[i] >= 4)
            end = next((i for i in range(value, len(row)) if not 4 <= row[i] < 8), len(row))
            key = tuple(row[place:value])
            before = [start for name, start in pairs if name == key]
            for asked in range(value - 1, end - 1):
                if weights[asked]:
                    expected[asked] = asked - (asked + 1 - (value - before[-1]))
            pairs.append((key, value))
            place = end
        assert distances == expected
        seen += sum(distance > 0 for distance in expected)
    assert seen > 1000


def deepest(row: list[int], opening: list[int], closing: int) -> int:
    open_now = most = 0
    for token in row:
        open_now += (token in opening) - (token == closing)
        most = max(most, open_now)
    assert open_now == 0
    return most


@pytest.mark.parametrize(
    ("name", "opening", "closing"),
    [("listops", [10, 11, 12, 13], 14), ("modular_arithmetic_brackets", [8], 9)],
)
def test_depths_of_nesting(name, opening, closing):
    fields, batch = some_batch(name, length=40)
    expected = [deepest(row, opening, closing) for row in batch.inputs.tolist()]
    assert fields["depth"].tolist() == expected
    assert len(set(expected)) >= 4


@pytest.mark.parametrize("name", ["reverse", "stack_manipulation", "dates", "set", "compression"])
def test_lengths_of_sources(name):
    fields, batch = some_batch(name)
    assert fields["length"].tolist() == [sum(row) for row in batch.mask.tolist()]


@pytest.mark.parametrize("name", ["word_problem", "text"])
def test_positions_of_targets(name):
    fields, batch = some_batch(name, rows=3)
    assert fields["position"].tolist() == [list(range(batch.targets.shape[1]))] * 3


def test_digits_are_told_apart_by_class():
    fields, batch = some_batch("digits", rows=16)
    np.testing.assert_array_equal(fields["class"], batch.targets)
