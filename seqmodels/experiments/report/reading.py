"""Runs, sweeps and scaling experiments in folders; what can't be read is named and left out."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seqmodels.errors import UserError
from seqmodels.experiments.report.values import number, readable
from seqmodels.training.environment import starts, versions
from seqmodels.training.metrics import read_events

Content = dict[str, Any]
"""A JSON object."""


class Run(NamedTuple):
    """A run's folder, or a trial of a sweep that may have no folder yet."""

    folder: Path
    config: Content
    environment: Content
    events: list[Content]
    results: Content | None
    """None while it is unfinished."""
    lengths: Content
    """Scores by step, split and length; empty where there are none."""
    trial: Content
    """The point of a sweep that it is; empty for a run of its own."""
    state: tuple[str, ...]
    """``finished``, or what it is otherwise; and whether another version made it."""
    facts: Content
    """What it noted of its task when it began; empty where it didn't."""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return readable(self.folder.resolve().name)

    @property
    def is_finished(self) -> bool:
        """Whether it has results."""
        return self.results is not None


class Sweep(NamedTuple):
    """A sweep's folder: sweep.json, the rows of summary.json, and a run a trial."""

    folder: Path
    content: Content
    summary: list[Content]
    trials: list[Run]


class Scaling(NamedTuple):
    """A scaling experiment's folder: scaling.json."""

    folder: Path
    config: Content
    content: Content


class Found(NamedTuple):
    """All that lies in some folders, and a line for each thing that had to be left out."""

    runs: list[Run]
    sweeps: list[Sweep]
    scalings: list[Scaling]
    skipped: list[str]


class _UnreadableError(Exception):
    """A file that is cut short or holds something else."""


def find(folders: Sequence[str], warn: Callable[[str], None]) -> Found:
    """Reads every run, sweep and scaling experiment in the folders or below them, each once.

    Args:
      folders: where to look; each may itself be one.
      warn: is told, in a line, of what can't be read.

    Raises:
      UserError: a folder does not exist, or there is nothing in any.
    """
    found = Found([], [], [], [])

    def skip(what: str) -> None:
        found.skipped.append(readable(what))
        warn(readable(what))

    now = versions()
    seen: set[Path] = set()
    for folder in folders:
        if not Path(folder).is_dir():
            what = "is no folder" if Path(folder).exists() else "no such folder"
            raise UserError(f"{readable(folder)}: {what}; name folders of runs or sweeps")
        for path, kind in _below(Path(folder), skip):
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            try:
                if kind == "sweep.json":
                    found.sweeps.append(_read_sweep(path, now, skip))
                elif kind == "scaling.json":
                    found.scalings.append(
                        Scaling(path, _read(path / "config.json"), _read_scaling(path))
                    )
                else:
                    _need(path / kind, _read(path / kind), {"task": dict, "train": dict})
                    found.runs.append(_read_run(path, now, {}))
            except _UnreadableError as error:
                skip(str(error))
    if not (found.runs or found.sweeps or found.scalings):
        where = ", ".join(readable(folder) for folder in folders)
        raise UserError(
            f"{where}: no run, sweep or scaling experiment that can be read lies there "
            "(config.json, sweep.json, scaling.json); train first"
        )
    trials = {run.folder.resolve() for sweep in found.sweeps for run in sweep.trials}
    alone = [run for run in found.runs if run.folder.resolve() not in trials]
    return found._replace(runs=alone)


def _below(folder: Path, skip: Callable[[str], None]) -> list[tuple[Path, str]]:
    """The folders that are something, and the file by which each is known."""

    def refused(error: OSError) -> None:
        skip(f"{error.filename} can't be read ({error.strerror})")

    known = []
    for path, inside, files in os.walk(folder, onerror=refused):
        kind = next((n for n in ("sweep.json", "scaling.json", "config.json") if n in files), None)
        if kind is None:
            inside[:] = sorted(name for name in inside if not name.startswith("."))
        else:
            inside.clear()
            known.append((Path(path), kind))
    return known


def _read(file: Path) -> Content:
    """A JSON object; an empty one where there is no file."""
    content = _read_json(file)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise _UnreadableError(f"{file} is skipped: it holds no JSON object")
    return content


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError) as error:
        raise _UnreadableError(f"{file} is skipped: it is cut short or no JSON ({error})") from None
    except OSError as error:
        raise _UnreadableError(f"{file} is skipped: it can't be read ({error.strerror})") from None


def _need(file: Path, content: Content, keys: dict[str, type]) -> None:
    for key, type_ in keys.items():
        if not isinstance(content.get(key), type_):
            raise _UnreadableError(f"{file} is skipped: it lacks {key!r}")


def _read_run(folder: Path, now: Content, trial: Content) -> Run:
    file = folder / "results.json"
    results = _read(file) if file.exists() else None
    if results is not None:
        _need(file, results, {"validation": dict, "test": dict})
    config = _read(folder / "config.json")
    environment = next(reversed(starts(_read(folder / "environment.json"))), {})
    try:
        events = read_events(folder / "metrics.jsonl")
    except (OSError, ValueError) as error:
        raise _UnreadableError(f"{folder / 'metrics.jsonl'} is skipped: {error}") from None
    events = [e for e in events if isinstance(e, dict) and number(e.get("step")) is not None]
    state = _state(config, events, results, trial)
    other = _other_version(environment, now)
    return Run(
        folder,
        config,
        environment,
        events,
        results,
        _read(folder / "lengths.json"),
        trial,
        (state, *([other] if other else [])),
        _read(folder / "facts.json"),
    )


def _state(config: Content, events: list[Content], results: Content | None, trial: Content) -> str:
    said = trial.get("state")
    if said in ("failed", "pruned"):
        return f"{said}: {trial['reason']}" if trial.get("reason") else said
    if results is not None:
        return "finished"
    if events and any(e.get("split") == "train" and number(e.get("loss")) is None for e in events):
        return f"failed: the loss stopped being finite by step {events[-1]['step']}"
    train = config.get("train")
    steps = number(train.get("steps")) if isinstance(train, dict) else None
    done = max((e["step"] for e in events), default=0)
    how_far = f"step {done:,} of {steps:,}" if steps else f"step {done:,}"
    if said == "waiting" or (trial and said is None and not config):
        return "waiting"
    return f"{'running' if said == 'running' else 'unfinished'}: {how_far}"


def _other_version(environment: Content, now: Content) -> str | None:
    """In what the versions of seqmodels and JAX that made a run differ from those of now."""
    packages = environment.get("packages")
    made = packages if isinstance(packages, dict) else {}
    differing = [
        f"{name} {made[name]}, now {now['packages'][name]}"
        for name in ("seqmodels", "jax")
        if name in made and made[name] != now["packages"][name]
    ]
    commit = environment.get("commit")
    if isinstance(commit, str) and now["commit"] and commit != now["commit"]:
        differing.append(f"commit {commit[:7]}, now {now['commit'][:7]}")
    return f"other version: {'; '.join(differing)}" if differing else None


def _read_sweep(folder: Path, now: Content, skip: Callable[[str], None]) -> Sweep:
    content = _read(folder / "sweep.json")
    keys = {"points": list, "score": str, "higher_is_better": bool}
    _need(folder / "sweep.json", content, keys)
    trials = []
    for point in [*content["points"], *_searched(folder, content["points"])]:
        try:
            _need(folder / "sweep.json", {"points": point}, {"points": dict})
            _need(folder / "sweep.json", point, {"name": str, "arguments": dict, "overrides": dict})
            place = folder / "trials" / Path(point["name"]).name
            trials.append(_read_run(place, now, point | _read(place / "trial.json")))
        except _UnreadableError as error:
            skip(str(error))
    try:
        summary = _read_json(folder / "summary.json")
        rows = summary.get("rows") if isinstance(summary, dict) else summary
        summary = [row for row in rows or [] if isinstance(row, dict)]
    except (_UnreadableError, TypeError) as error:
        skip(str(error))
        summary = []
    return Sweep(folder, content, summary, trials)


def _searched(folder: Path, points: list[Any]) -> list[Content]:
    """The trials whose point a search chose as it went."""
    known = {point.get("name") for point in points if isinstance(point, dict)}
    files = sorted(folder.glob("trials/*/trial.json"))
    return [{"name": f.parent.name} | _read(f) for f in files if f.parent.name not in known]


def _read_scaling(folder: Path) -> Content:
    content = _read(folder / "scaling.json")
    _need(folder / "scaling.json", content, {"cells": list})
    for cell in content["cells"]:
        _need(folder / "scaling.json", {"cells": cell}, {"cells": dict})
        _need(folder / "scaling.json", cell, {"mixer": str, "length": int, "status": str})
    return content


def as_dict(value: Any) -> Content:
    """The value where it is a JSON object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}
