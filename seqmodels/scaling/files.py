"""The files of a scaling's folder: a cell each in ``cells/``, and ``scaling.json`` of them all."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from seqmodels.json_files import UnreadableError, convert, read_json

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Positive = Annotated[float, Meta(gt=0)]
DONE = ("measured", "compiled")
"""What a cell is that neither a limit nor a crash has ended."""
TIMES = ("forward_seconds", "step_seconds", "decode_seconds")


class Times(TypedDict):
    """Seconds of some measurements."""

    median: Positive
    low: Positive
    high: Positive
    repeats: Count


class CollectiveFile(TypedDict):
    """Those of a kind (:class:`~seqmodels.scaling.collectives.Collective`)."""

    count: Count
    bytes: Count
    sent: Count


class CellFile(TypedDict):
    """A cell; None is what is not known of it, as where it was ended between two measurements.

    Bytes are a device's, and those of the training step; the state's are one sequence's.
    """

    mixer: str
    length: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    batch_size: Count | None
    status: Literal["measured", "compiled", "does not fit", "too slow", "failed"]
    reason: str | None
    parameters: Count | None
    compile_seconds: float | None
    forward_seconds: Times | None
    step_seconds: Times | None
    decode_seconds: Times | None
    temporary_bytes: Count | None
    argument_bytes: Count | None
    peak_bytes: Count | None
    forward_flops: Count | float | None
    step_flops: Count | float | None
    sequential_depth: Count | float | None
    state_bytes: Count | float | None
    roofline_seconds: float | None
    forms: NotRequired[str | None]
    """Those by which operations computed the training step; absent in cells of earlier versions, as
    are the following."""
    memory_bytes: NotRequired[Count | None]
    """Of a device that isn't here."""
    collectives: NotRequired[dict[str, CollectiveFile] | None]
    """By kind what a device sends to others in a step."""
    sent_bytes: NotRequired[Count | None]
    """All that it sends."""
    sent_at_least: NotRequired[bool | None]
    """Whether it may send more, in loops that the data end."""
    bound: NotRequired[Literal["operations", "memory", "links"] | None]
    """What takes the roofline's seconds."""


EMPTY: dict[str, Any] = dict.fromkeys(CellFile.__annotations__)
"""A cell of which nothing is known."""
_OF_EVERY_ONE = (
    "compile_seconds",
    "temporary_bytes",
    "argument_bytes",
    "step_flops",
    "sequential_depth",
    "state_bytes",
)


class QualityFile(TypedDict):
    """A cell trained on a task."""

    mixer: str
    length: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    task: str
    score: str | None
    higher_is_better: NotRequired[bool | None]
    """Of the score; absent in files of earlier versions."""
    mean: float | None
    validation: float | None
    steps: Count | None
    seconds: float | None
    parameters: Count | None
    chance: NotRequired[float]
    shown_chance: NotRequired[float]
    step_seconds: float | None
    temporary_bytes: Count | None
    status: str
    reason: str | None


class FitFile(TypedDict):
    """A power law of a cost."""

    mixer: str
    quantity: str
    exponent: Annotated[float, Meta(ge=-99, le=99)]
    low: float
    high: float
    from_length: Count
    lengths: Count
    coefficient: float
    linear: float
    quadratic: float
    local_exponent: float


class CrossoverFile(TypedDict):
    """From which length on one mixer costs more than another, up to the next of the two."""

    quantity: str
    cheaper_below: str
    cheaper_above: str
    length: Count


class LongestFile(TypedDict):
    """How far a limit reaches."""

    mixer: str
    limit: Literal["gib", "seconds"]
    value: float
    length: Count
    extrapolated: bool
    at_least: NotRequired[bool]


class ScalingFile(TypedDict):
    """``scaling.json``."""

    kind: Literal["scaling"]
    config: str
    command: str
    machine: dict[str, Any]
    target: str | None
    mesh: NotRequired[str | None]
    # Their entries are checked one by one, by _PARTS.
    cells: list[Any]
    quality: list[Any]
    fits: list[Any]
    crossovers: list[Any]
    longest: list[Any]


_PARTS: dict[str, Any] = {
    "cells": CellFile,
    "quality": QualityFile,
    "fits": FitFile,
    "crossovers": CrossoverFile,
    "longest": LongestFile,
}


def read_scaling(folder: Path, skip: Callable[[UnreadableError], None]) -> ScalingFile | None:
    """A folder's ``scaling.json``, without what ``skip`` is told of: entries of something else.

    Raises:
      UnreadableError: the file holds something else.
    """
    file = folder / "scaling.json"
    stored: Any = read_json(file, ScalingFile)
    if stored is None:
        return None
    for part, schema in _PARTS.items():
        kept = []
        for place, entry in enumerate(stored[part]):
            try:
                kept.append(convert(entry, schema, f"{file}, {part}[{place}],"))
            except UnreadableError as error:
                skip(error)
        stored[part] = kept
    return stored


def read_cell(cells: Path, mixer: str, length: int) -> CellFile | None:
    """A cell of the folder ``cells/``; None where it has not been measured.

    Raises:
      UnreadableError: its file holds something else, or another cell.
    """
    file = cells / f"{mixer}-{length}.json"
    cell = read_json(file, CellFile)
    if cell is not None and (cell["mixer"], cell["length"]) != (mixer, length):
        raise UnreadableError(f"{file} is of another cell, {cell['mixer']} at {cell['length']}")
    if cell is not None and cell["status"] in DONE:
        times = TIMES if cell["status"] == "measured" else ("roofline_seconds",)
        needed = (*_OF_EVERY_ONE, *times)
        if missing := [name for name in needed if cell[name] is None]:
            raise UnreadableError(f"{file} is {cell['status']} and lacks its {missing[0]}")
    return cell
