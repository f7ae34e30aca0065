"""The files of a sweep's folder: ``sweep.json`` of all its points, ``summary.json`` of its groups.

That of a trial stands in :mod:`seqmodels.sweeps.trials`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from seqmodels.json_files import UnreadableError, convert, read_json, write_json
from seqmodels.sweeps.groups import Run
from seqmodels.sweeps.trials import Count, PointFile, Trial, run_of

Measure = Literal["parameters", "flops", "state", "seconds"]
"""What models are matched in: parameters, forward FLOPs of a sequence, bytes of state, or the
seconds that their steps take."""


class MatchFile(TypedDict):
    """What every model is brought to, if to anything."""

    by: Measure | None
    target: float | None
    state: NotRequired[float]
    """Bytes of state that it is brought to besides, if to any."""
    tolerance: float
    settings: NotRequired[list[str]]
    """Then the keys that were set for both."""
    widths: NotRequired[Literal["each setting", "first setting"]]
    """Whose width was matched; absent in folders of versions that matched each group's first
    setting, and gave its width and size to all."""


class SweepFile(TypedDict):
    """``sweep.json``."""

    kind: Literal["sweep"]
    config: str
    common: dict[str, str]
    match: MatchFile
    search: Literal["grid", "stages", "random", "tpe"]
    command: str
    score: str
    higher_is_better: bool
    points: list[Any]
    """Of each run a :class:`~seqmodels.sweeps.trials.PointFile`."""


class SpreadFile(TypedDict):
    """A score over seeds."""

    mean: float | None
    deviation: float | None
    values: list[float]


class RungFile(TypedDict):
    """A value of the key that is tuned, and what its seeds scored on validation."""

    value: float
    validation: list[float]


class CurveFile(TypedDict):
    """How the score depends on the one key that is tuned, by ascending values."""

    key: str
    points: list[RungFile]


class GroupFile(TypedDict):
    """A row of ``summary.json``: a group, and the setting of it that validates best."""

    arguments: dict[str, Any]
    parameters: Count | None
    chosen: dict[str, Any]
    validation: SpreadFile
    test: SpreadFile
    seeds: Count
    failed: Count
    trials: Count
    seconds: float | None
    curve: NotRequired[CurveFile | None]
    """None where the settings differ in no key or several, or not in a number."""


def read_sweep(folder: Path) -> SweepFile | None:
    """A folder's ``sweep.json``, each point of which is one; None where there is none.

    Raises:
      UnreadableError: it holds something else.
    """
    file = folder / "sweep.json"
    try:
        stored = read_json(file, SweepFile)
        if stored is not None:
            stored["points"] = convert(stored["points"], list[PointFile], f"{file} (points)")
    except UnreadableError as error:
        raise UnreadableError(
            f"{error}; put back a copy of it, or delete it to go on with the same command"
        ) from None
    return stored


def known_runs(folder: Path) -> list[Run]:
    """The runs that a search has proposed: those of ``sweep.json``, and the trials' own."""
    stored = read_sweep(folder)
    runs = {point["name"]: run_of(point) for point in (stored["points"] if stored else [])}
    for file in sorted(folder.glob("trials/*/trial.json")):
        try:
            found = Trial(folder, file.parent.name).read()
        except UnreadableError:  # it is said, and written anew, where its run is entered
            continue
        if found is not None:
            runs[found["name"]] = run_of(found)
    return list(runs.values())


def add_points(folder: Path, runs: Iterable[Run]) -> None:
    """Adds to ``sweep.json`` the points that a search has proposed."""
    stored = read_sweep(folder)
    assert stored is not None
    points = {point["name"]: point for point in stored["points"]}
    points |= {run.name: run._asdict() for run in runs}
    if list(points.values()) != stored["points"]:
        write_json(folder / "sweep.json", {**stored, "points": list(points.values())})
