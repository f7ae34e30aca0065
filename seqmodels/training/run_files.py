"""What the files of a run's folder hold: a schema each, and the one place that reads them.

``metrics.jsonl`` is read where it is written (:mod:`seqmodels.training.metrics`), a checkpoint's
files in :mod:`seqmodels.training.checkpoint_files`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from seqmodels.config import Origin
from seqmodels.json_files import UnreadableError, convert, read_json, read_json_lines
from seqmodels.training.early import End

Count = Annotated[int, Meta(ge=0)]
Digits = Annotated[str, Meta(pattern=r"\A[0-9]{1,18}\Z")]
"""A step or a length, as the key of a JSON object."""
Seconds = Annotated[float, Meta(ge=0)]
Split = Literal["train", "validation", "test"]
Scores = dict[str, float]
"""Metrics by name; one that nothing was counted for is NaN."""


class Decided(TypedDict, total=False):
    """What a run decides by itself."""

    devices: Count
    """How many shared a batch as it began."""
    short_convolution: dict[str, int]
    """By name of the pattern the kernels that were taken one wider, for a centre."""
    steps: Count
    """Of a run with ``train.seconds``, as so many of those that it timed take that."""
    forms: dict[str, list[str]]
    """By operation the forms that have computed its steps (:mod:`seqmodels.ops.forms`)."""
    logged: dict[str, str]
    """By logger what it calls the run (:mod:`seqmodels.training.loggers`)."""


class _Kind(TypedDict):
    kind: str


class _Train(TypedDict):
    steps: Count
    length: Count


class Config(TypedDict):
    """Of ``config.json`` what is read without building what it describes.

    All else is checked when it is built (:func:`seqmodels.training.experiment.build_experiment`).
    """

    seed: Count
    task: _Kind
    model: dict[str, Any]
    optimizer: dict[str, Any]
    train: _Train
    decided: NotRequired[Decided]


class MachineFile(TypedDict):
    """What a run's times are of."""

    processor: str
    cores: Count
    """Those that the run could use."""
    devices: str
    """How many, their platform and kind: ``2 cpu:cpu``."""
    platform: str
    sharing: Count
    """How many runs shared the machine, as workers of a sweep do."""


class CostFile(TypedDict):
    """What a run cost (:mod:`seqmodels.training.run_cost`)."""

    step_seconds: Seconds | None
    """The median of its steps; None where it did none, or was interrupted at each."""
    step_bytes: Count | None
    """Arguments and temporaries of its largest step, as the compiler counts them for a device;
    None where it did none."""
    state_bytes: Count
    """That a row carries from chunk to chunk."""
    prefill_seconds: NotRequired[Seconds | None]
    """Of reading one row as long as those of training; None where it doesn't stream."""
    decode_seconds: Seconds | None
    """Of one more position of one row, after training's length; None where it doesn't stream."""
    machine: MachineFile


class Results(TypedDict):
    """``results.json``: the run has finished."""

    steps: Count
    best_step: Count
    """Of the checkpoint that validated best, whose scores these are."""
    ended: NotRequired[End]
    """The setting of ``train`` that ended it; absent in folders of versions that knew but steps."""
    validation: Scores
    test: Scores
    chance: NotRequired[float]
    shown_chance: NotRequired[float]
    """What test is held against (:func:`seqmodels.tasks.chance.levels`)."""
    parameters: Count
    seconds: Seconds
    cost: NotRequired[CostFile]


class Start(TypedDict, total=False):
    """Of a start what is read again."""

    command: str
    mathematics: Count
    commit: str | None
    python: str
    packages: dict[str, str | None]
    platform: str
    devices: list[str]
    cores: Count | None
    uncommitted: str
    """The SHA-256 of what the checkout had beyond its commit."""


class Environment(Start, total=False):
    """Of ``environment.json``: an entry a start; of an earlier version the last start alone."""

    starts: list[Start]
    changes: dict[str, str]
    """What checkouts had beyond their commits, by its SHA-256, as ``git diff`` says it."""


class StartFile(TypedDict):
    """What a run started from."""

    of: str
    """The folder or file, as the config says it."""
    step: Count | None
    """Of a run's checkpoint."""
    digest: str
    """Of its parameters (:func:`seqmodels.training.parameter_files.digest`)."""


class Facts(TypedDict):
    """``facts.json``: what a run noted of its task and data when it began."""

    score: str
    """The metric by which the task is judged, on validation."""
    higher_is_better: bool
    chance: NotRequired[float]
    shown_chance: NotRequired[float]
    origin: NotRequired[Origin]
    start_from: NotRequired[StartFile]
    places: NotRequired[dict[str, str]]
    """By setting of the task, the absolute path that it stood for."""
    files: NotRequired[dict[str, tuple[Count, str]]]
    """Of each file that is read its size and digest, by its name below those places."""
    batches: dict[str, str]
    """Digests of the first training and the first validation batch."""
    drawn_by: dict[str, str | None]
    """The versions under which they were drawn, and the commit."""


class Interval(TypedDict):
    """A score and its interval."""

    mean: float
    low: float
    high: float
    examples: Count


class AtLength(TypedDict):
    """Scores at one length, whole, by the values of each field and by position."""

    metrics: dict[str, Interval]
    slices: dict[str, dict[str, Interval]]
    by_position: NotRequired[dict[str, dict[str, Interval]]]
    """By metric, and by position or range of positions; absent in folders of earlier versions."""
    other_data: NotRequired[str]
    """Where the data were others than the run began with."""
    chance: NotRequired[float]
    shown_chance: NotRequired[float]


SCHEMAS: dict[str, Any] = {
    "config.json": Config,
    "results.json": Results,
    "environment.json": Environment,
    "facts.json": Facts,
    # By step; among the scores stands "other_data".
    "evaluations.json": dict[Digits, dict[Split, dict[str, float | str]]],
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
    """Each line of a run's ``metrics.jsonl``, with its event or what is wrong with it.

    A run has one event of a step and split: what comes again was written by somebody else.
    """
    file = folder / "metrics.jsonl"
    lines = read_json_lines(file, dict[str, float | int | str])
    seen: set[tuple[int, str]] = set()
    for number, (text, content) in enumerate(lines, 1):
        try:
            if not isinstance(content, UnreadableError):
                event = convert(content, _Event, f"{file}, line {number},")
                place = event["step"], event["split"]
                if place in seen:
                    again = f"repeats step {place[0]} of {place[1]}"
                    raise UnreadableError(f"{file}, line {number}, {again}")
                seen.add(place)
            yield text, content
        except UnreadableError as error:
            yield text, error
