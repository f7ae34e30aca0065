"""Metrics: means, and events that survive kills and resumes."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from seqmodels.training.metrics import Mean, MetricWriter, read_events


def test_mean_divides_once():
    """The mean over all targets, not the mean of the batches' means."""
    mean = Mean()
    mean.add({"loss": (jnp.float32(6.0), jnp.float32(2.0)), "accuracy": (1, 2)})
    mean.add({"loss": (jnp.float32(1.0), jnp.float32(8.0)), "accuracy": (0, 8)})
    assert mean.result() == {"loss": 0.7, "accuracy": 0.1}
    assert mean.result() == {}
    mean.add({"loss": (0.0, 0.0)})
    assert math.isnan(mean.result()["loss"])


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "metrics.jsonl"


def write(file: Path, start: int, *steps: int, split: str = "train") -> None:
    """What a process writes that starts at a step."""
    writer = MetricWriter(file, start)
    for step in steps:
        writer.write(step, split, {"loss": step / 10})
    writer.close()


def steps(file: Path) -> list[int]:
    return [event["step"] for event in read_events(file)]


def test_an_event_is_a_line(file):
    write(file, 0, 5, 10)
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert [event.pop("seconds") < 60 for event in events] == [True, True]
    assert events == [
        {"step": 5, "split": "train", "loss": 0.5},
        {"step": 10, "split": "train", "loss": 1.0},
    ]
    assert events == [{k: v for k, v in e.items() if k != "seconds"} for e in read_events(file)]


def test_events_after_the_resumed_step_are_dropped(file):
    write(file, 0, 5, 10, 15)
    write(file, 10, 12)
    assert steps(file) == [5, 10, 12]
    write(file, 0)
    assert steps(file) == []


def test_the_test_score_of_a_killed_process_is_dropped(file):
    """Killed between the score and results.json, a run scores again."""
    write(file, 0, 5, 10)
    write(file, 10, 10, split="test")
    write(file, 10, 10, split="test")
    assert [(event["step"], event["split"]) for event in read_events(file)] == [
        (5, "train"),
        (10, "train"),
        (10, "test"),
    ]


@pytest.mark.parametrize("cut", [1, 20, 40])
def test_a_last_line_that_was_cut_short_is_dropped(file, cut):
    write(file, 0, 5, 10)
    file.write_bytes(file.read_bytes()[:-cut])
    kept = [5, 10] if cut == 1 else [5]  # only the line's end was missing
    assert steps(file) == kept
    write(file, 10, 12)
    assert steps(file) == [*kept, 12]


def test_seconds_go_on_after_a_resume(file):
    write(file, 0, 5, 10)
    lines = [json.loads(line) | {"seconds": 100.0} for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    writer = MetricWriter(file, 10)
    assert 100 <= writer.seconds() < 160
    writer.close()


@pytest.mark.parametrize(
    "bad",
    [
        b"nonsense",
        b"",
        b'{"step": 6}',
        b'{"split": "train", "step": "6"}',
        b"[6]",
        b"null",
        b'{"step": 6, "split": "train", "loss": [1]}',
        b"\xff\xfe\x00",
        b"\x00" * 60,  # of a file system whose machine lost power
        b'{"step": 6, "spl',
        b'{"step": 6, "split": "train", "seconds": 1}{"step": 7, "split": "train", "seconds": 1}',
        b'{"step": 5, "split": "train", "seconds": 1.0, "loss": 0.7}',
    ],
)
def test_a_bad_line_costs_itself_alone_and_is_said(file, bad):
    write(file, 0, 5, 10)
    first, second = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([first, bad, second, b""]))
    said = []
    writer = MetricWriter(file, 10, warn=said.append)
    writer.write(12, "train", {"loss": 1.2})
    writer.close()
    assert steps(file) == [5, 10, 12]
    assert len(file.read_text().splitlines()) == 3
    assert len(said) == 1
    assert said[0].startswith(f"{file}, line 2, ")
    assert said[0].endswith(": left out, and kept in damaged-metrics.jsonl")
    kept = (file.parent / "damaged-metrics.jsonl").read_bytes()
    assert kept == bad.decode(errors="replace").encode() + b"\n"


class Full:
    """A file on a disk that becomes full after some bytes."""

    def __init__(self, opened, room: int):
        self.opened, self.room = opened, room

    def __getattr__(self, name):
        return getattr(self.opened, name)

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        taken = self.opened.write(data[: self.room])
        self.room -= taken
        return taken


@pytest.mark.parametrize("room", [0, 1, 30])
def test_a_full_disk_takes_a_whole_event_or_none(file, room):
    writer = MetricWriter(file, 0)
    writer.write(5, "train", {"loss": 0.5})
    whole = file.read_bytes()
    writer._file = Full(writer._file, room)
    with pytest.raises(OSError, match=rf"No space left on device: '{file}'$"):
        writer.write(10, "train", {"loss": 1.0})
    writer.close()
    assert file.read_bytes() == whole


@pytest.mark.parametrize("room", [0, 1, 30])
def test_a_board_that_can_not_be_written_is_said_once(file, room):
    said = []
    writer = MetricWriter(file, 0, warn=said.append)
    board: Any = writer._loggers["TensorBoard"]
    board._file = Full(board._file, room)
    for step in (5, 10):
        writer.write(step, "train", {"loss": 0.5})
    writer.close()
    assert steps(file) == [5, 10]
    assert said == ["TensorBoard gets no more events (No space left on device)"]
    write(file, 10, 15)
    assert shown_by_tensorboard(file.parent) == [(step, "train/loss") for step in (5, 10, 15)]


def test_a_board_that_can_not_be_begun_is_said(file, monkeypatch):
    said = []

    def full(*_) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seqmodels.training.metrics.Board", full)
    writer = MetricWriter(file, 0, warn=said.append)
    writer.write(5, "train", {"loss": 0.5})
    writer.close()
    assert steps(file) == [5]
    assert said == ["TensorBoard gets no more events (No space left on device)"]


def board_events(folder: Path) -> list[Event]:
    """What TensorBoard reads, file by file: records of length, checksum, event, checksum."""
    events = []
    for file in sorted(folder.glob("events.out.tfevents.*")):
        content = file.read_bytes()
        while len(content) > 12 and len(content) >= 16 + struct.unpack("<Q", content[:8])[0]:
            (length,) = struct.unpack("<Q", content[:8])
            record, content = content[: 16 + length], content[16 + length :]
            for part, check in ((record[:8], record[8:12]), (record[12:-4], record[-4:])):
                assert struct.unpack("<I", check)[0] == masked_crc32c(part)
            events.append(Event.FromString(record[12:-4]))
    return events


def shown_by_tensorboard(folder: Path) -> list[tuple[int, str]]:
    """Steps and tags of what it shows: a session's start makes it forget later steps."""
    shown: list[tuple[int, str]] = []
    for event in board_events(folder):
        if event.session_log.status == SessionLog.START:
            shown = [(step, tag) for step, tag in shown if step < event.step]
        shown += [(event.step, value.tag) for value in event.summary.value]
    return shown


def test_tensorboard_gets_the_same(file):
    write(file, 0, 5, 10)
    scalars = [
        (event.step, value.tag, round(value.simple_value, 6))
        for event in board_events(file.parent)
        for value in event.summary.value
    ]
    assert scalars == [(5, "train/loss", 0.5), (10, "train/loss", 1.0)]
    times = [event.wall_time for event in board_events(file.parent) if event.step]
    assert abs(times[1] - times[0]) < 60


@pytest.mark.parametrize("resumed", [0, 5, 10])
@pytest.mark.parametrize("lost", [False, True])
def test_tensorboard_shows_what_the_metrics_hold_after_a_kill(file, resumed, lost):
    """Also of what an earlier process has not brought to the disk, and within one second."""
    write(file, 0, 5, 10)
    (earlier,) = file.parent.glob("events.out.tfevents.*")
    if lost:
        earlier.write_bytes(earlier.read_bytes()[:-50])
    before = board_events(file.parent)
    write(file, resumed, 12)
    write(file, resumed, 15)
    assert steps(file) == [step for step in (5, 10) if step <= resumed] + [15]
    assert shown_by_tensorboard(file.parent) == [(step, "train/loss") for step in steps(file)]
    assert board_events(file.parent)[: len(before)] == before
    assert len(list(file.parent.glob("events.out.tfevents.*"))) == 3
