"""JSON that is read: of its schema, or one line that says what is wrong."""

import json
import math
import os
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import pytest

from seqmodels.errors import UserError
from seqmodels.json_files import (
    DEEPEST,
    LARGEST,
    UnreadableError,
    parse_json,
    read_json,
    read_json_lines,
    write_json,
)


class Scores(TypedDict):
    steps: int
    split: dict[str, float | None]
    names: NotRequired[list[str]]


@dataclass(frozen=True)
class Point:
    x: float
    y: tuple[int, ...] = ()


GOOD = {"steps": 3, "split": {"loss": 0.5, "accuracy": 1, "other": None}}


def test_what_is_written_is_read(tmp_path):
    write_json(tmp_path / "a.json", GOOD)
    assert read_json(tmp_path / "a.json", Scores) == GOOD
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
    assert parse_json('{"x": 1, "y": [1, 2]}', Point, "it") == Point(1.0, (1, 2))


def test_a_later_versions_keys_are_left_out_and_a_file_may_be_missing(tmp_path):
    assert parse_json(json.dumps(GOOD | {"later": 1}), Scores, "it") == GOOD
    assert read_json(tmp_path / "missing.json", Scores) is None
    assert read_json(tmp_path / "missing" / "a.json", Scores) is None
    assert list(read_json_lines(tmp_path / "missing.jsonl", Scores)) == []


def test_nan_is_a_number():
    found = parse_json('{"steps": 1, "split": {"loss": NaN}}', Scores, "it")
    assert math.isnan(found["split"]["loss"])


WRONG = {
    "cut short": '{"steps": 1, "sp',
    "empty": "",
    "another shape": "[]",
    "null": "null",
    "a string": '"finished"',
    "a missing key": '{"steps": 1}',
    "a wrong type": '{"steps": "1", "split": {}}',
    "a wrong type deep inside": '{"steps": 1, "split": {"loss": 1.0, "accuracy": [1]}}',
    "a wrong item of many": json.dumps(GOOD | {"names": ["a"] * 50 + [3]}),
    "no whole number": '{"steps": 1.5, "split": {}}',
    "a number of 400 digits": f'{{"steps": {"9" * 400}, "split": {{}}}}',
    "a number of 5,000 digits": f'{{"steps": {"9" * 5000}, "split": {{}}}}',
    "a whole number beyond 64 bits": f'{{"steps": {2**70}, "split": {{}}}}',
    "a number beyond every float": '{"steps": 1, "split": {"loss": 1e999}}',
    "a number whose square is beyond every float": '{"steps": 1, "split": {"loss": -1e200}}',
    "100,000 levels": "[" * 100_000 + "]" * 100_000,
    "10,000 levels, cut short": '{"steps": [' * 10_000,
    "10,000 levels in a part that nothing reads": f'{{"x": {"[" * 10_000}{"]" * 10_000}}}',
    "no text": b"\xff\xfe\x00{",
}


@pytest.mark.parametrize("name", WRONG)
def test_anything_else_is_one_line_that_names_the_file(tmp_path, name):
    file = tmp_path / "results.json"
    content = WRONG[name]
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UnreadableError) as caught:
        read_json(file, Scores)
    assert str(caught.value).startswith(f"{file} ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("levels", [DEEPEST, DEEPEST + 1])
def test_levels_are_counted_outside_of_texts(levels):
    text = "".join(['{"a": ["]}]", "\\\\", '] + ['[{"[": "}\\"]"}, '] * (levels - 3) + ["1"])
    text += "]" * (levels - 3) + "]}"
    if levels > DEEPEST:
        with pytest.raises(UnreadableError, match=r"^it holds something else: it is nested more "):
            parse_json(text, dict[str, list], "it")
    else:
        assert parse_json(text, dict[str, list], "it") == json.loads(text)


def test_what_is_no_file_or_too_large_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    with (tmp_path / "sparse.json").open("wb") as file:
        file.truncate(LARGEST + 1)
    (tmp_path / "folder.json").mkdir()
    for name, message in {
        "pipe": "is no regular file",
        "folder": "is a directory",
        "sparse": "has 268,435,457 bytes, above 268,435,456",
    }.items():
        with pytest.raises(UnreadableError, match=f"(?i){message}"):
            read_json(tmp_path / f"{name}.json", Scores)


def test_a_bad_line_costs_itself_alone(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"x": 1}\nnonsense\n{"x": 2}\n{"y": [2]}\n{"x": 3}\n{"x": 4')
    found = list(read_json_lines(file, Point))
    assert [text for text, _ in found] == [
        '{"x": 1}',
        "nonsense",
        '{"x": 2}',
        '{"y": [2]}',
        '{"x": 3}',
    ]
    assert [content for _, content in found if isinstance(content, Point)] == [
        Point(1.0),
        Point(2.0),
        Point(3.0),
    ]
    bad = [str(content) for _, content in found if isinstance(content, UnreadableError)]
    assert [line.split(",")[1] for line in bad] == [" line 2", " line 4"]


def test_a_file_is_written_wholly_or_not_at_all(tmp_path, monkeypatch):
    write_json(tmp_path / "a.json", GOOD)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"a\.json can't be written \(No space left on device\)$"):
        write_json(tmp_path / "a.json", {"steps": 4})
    assert read_json(tmp_path / "a.json", Scores) == GOOD
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]
