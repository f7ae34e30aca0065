"""Metrics: means, and events that survive kills and resumes."""

import json
import math
import struct
from pathlib import Path

import jax.numpy as jnp
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

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


def board_events(folder: Path) -> list[Event]:
    """Reads TensorBoard's files, oldest first: records of length, checksum, event, checksum."""
    events = []
    for file in sorted(folder.glob("events.out.tfevents.*"), key=lambda f: f.stat().st_mtime_ns):
        content = file.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            events.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return events


def test_tensorboard_gets_the_same(file):
    write(file, 0, 5, 10)
    scalars = [
        (event.step, value.tag, round(value.simple_value, 6))
        for event in board_events(file.parent)
        for value in event.summary.value
    ]
    assert scalars == [(5, "train/loss", 0.5), (10, "train/loss", 1.0)]


@pytest.mark.parametrize("resumed", [0, 5])
def test_tensorboard_forgets_what_happens_again(file, resumed):
    """A start at step n + 1 makes it purge later events of earlier processes."""
    write(file, 0, 5, 10)
    for old in file.parent.glob("events.out.tfevents.*"):
        old.unlink()  # a second's resolution: both processes would write the same file
    write(file, resumed, 10)
    starts = [
        event.step
        for event in board_events(file.parent)
        if event.session_log.status == SessionLog.START
    ]
    assert starts == [resumed + 1]
