"""Runs as flat rows, such as ``pandas.DataFrame`` and ``polars.DataFrame`` take."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqmodels.config import flatten
from seqmodels.output import warn
from seqmodels.report.reading import StoredRun, find

Row = dict[str, str | int | float | bool | None]
"""A run: columns by name."""


def load_results(folders: str | Path | Sequence[str | Path]) -> list[Row]:
    """A row for each run in folders or below them, trials of sweeps and unfinished ones too.

    All rows have the same columns, each of one type, with None where a run has nothing:

    - ``folder``, ``state`` ("finished", or what it is else), ``task``, ``mixer``, ``length``,
      ``seed``; ``score``, the metric by which the task is judged, and ``higher_is_better``;
    - what ``results.json`` has, by dotted names: ``test.accuracy``, ``cost.step_seconds``;
    - every key of the config by its dotted name: ``model.width``, ``optimizer.learning_rate``;
      lists as text.

    What can't be read is said in a line, and left out.

    Raises:
      UserError: a folder does not exist, or there is nothing in any.
    """
    named = [folders] if isinstance(folders, str | Path) else folders
    found = find([str(folder) for folder in named], warn)
    runs = [*found.runs, *(run for sweep in found.sweeps for run in sweep.trials)]
    rows = [_row(run) for run in runs]
    columns = {name: _kind([row.get(name) for row in rows]) for row in rows for name in row}
    return [{name: _as(kind, row.get(name)) for name, kind in columns.items()} for row in rows]


def _row(run: StoredRun) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "folder": str(run.folder),
        "state": run.state[0],
        "task": run.config["task"]["kind"] if run.config else None,
        "mixer": run.mixer,
        "length": run.length,
        "seed": run.seed,
        "score": run.facts.get("score"),
        "higher_is_better": run.facts.get("higher_is_better"),
    }
    results, config = flatten(run.results or {}), flatten(run.config)
    return {**facts, **results, **{key: config[key] for key in config if key != "seed"}}


def _kind(values: list[Any]) -> type:
    """The one type that holds all values of a column."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and kinds != {int}:
        return float
    return kinds.pop() if len(kinds) == 1 and kinds <= {int, bool, str} else str


def _as(kind: type, value: Any) -> Any:
    return None if value is None else kind(value)
