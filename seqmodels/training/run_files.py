"""What the files of a run's folder hold: a schema each, and the one place that reads them.

``metrics.jsonl`` is read where it is written (:mod:`seqmodels.training.metrics`), a checkpoint's
files in :mod:`seqmodels.training.checkpoint_files`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from seqmodels.json_files import UnreadableError, convert, read_json, read_json_lines

Count = Annotated[int, Meta(ge=0)]
Digits = Annotated[str, Meta(pattern=r"\A[0-9]{1,18}\Z")]
"""A step or a length, as the key of a JSON object."""
Seconds = Annotated[float, Meta(ge=0)]
Split = Literal["train", "validation", "test"]
Scores = dict[str, float]
"""Metrics by name; one that nothing was counted for is NaN."""


class _Kind(TypedDict):
    kind: str


class _Train(TypedDict):
    steps: Count
    length: Count


class Config(TypedDict):
    """Of ``config.json`` what is read without building what it describes.

    All else is checked when it is built (:func:`seqmodels.experiment.build_experiment`).
    """

    seed: Count
    task: _Kind
    model: dict[str, Any]
    optimizer: dict[str, Any]
    train: _Train


class Results(TypedDict):
    """``results.json``: the run has finished."""

    steps: Count
    best_step: Count
    """Of the checkpoint that validated best, whose scores these are."""
    validation: Scores
    test: Scores
    chance: NotRequired[float]
    shown_chance: NotRequired[float]
    """What test is held against (:func:`seqmodels.tasks.chance.levels`)."""
    parameters: Count
    seconds: Seconds


class Environment(TypedDict, total=False):
    """Of ``environment.json`` what is read again."""

    command: str
    mathematics: Count
    commit: str | None
    python: str
    packages: dict[str, str | None]
    platform: str
    devices: list[str]
    cores: Count | None


class Interval(TypedDict):
    """A score and its interval."""

    mean: float
    low: float
    high: float
    examples: Count


class AtLength(TypedDict):
    """Scores at one length, whole and by the values of each field."""

    metrics: dict[str, Interval]
    slices: dict[str, dict[str, Interval]]
    chance: NotRequired[float]
    shown_chance: NotRequired[float]


SCHEMAS: dict[str, Any] = {
    "config.json": Config,
    "results.json": Results,
    "environment.json": Environment,
    "evaluations.json": dict[Digits, dict[Split, Scores]],  # by step
    "lengths.json": dict[Digits, dict[Split, dict[Digits, AtLength]]],  # by step and length
}


class _Event(TypedDict):
    """Of a line of ``metrics.jsonl`` what each has; the others are numbers."""

    step: Count
    split: str
    seconds: Seconds


def read_run_file(folder: Path, name: str) -> dict[str, Any] | None:
    """A file of a run's folder with all its keys, those of a later version too; None without one.

    Raises:
      UnreadableError: it is no JSON, holds something else, or can't be read.
    """
    content = read_json(folder / name, dict[str, Any])
    if content is not None:
        convert(content, SCHEMAS[name], str(folder / name))
    return content


def read_event_lines(folder: Path) -> Iterator[tuple[str, dict[str, Any] | UnreadableError]]:
    """Each line of a run's ``metrics.jsonl``, with its event or what is wrong with it."""
    file = folder / "metrics.jsonl"
    lines = read_json_lines(file, dict[str, float | int | str])
    for number, (text, content) in enumerate(lines, 1):
        try:
            if not isinstance(content, UnreadableError):
                convert(content, _Event, f"{file}, line {number},")
            yield text, content
        except UnreadableError as error:
            yield text, error
