"""Runs, sweeps and scaling experiments in folders; what can't be read is named and left out."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from seqmodels.config import to_dict
from seqmodels.config_files import DECIDED
from seqmodels.errors import ConfigError, UserError
from seqmodels.json_files import UnreadableError, convert, read_json
from seqmodels.report.values import Number, number, readable
from seqmodels.scaling.files import read_scaling
from seqmodels.sweeps.files import GroupFile, SweepFile
from seqmodels.sweeps.trials import Name, PointFile, Trial
from seqmodels.tasks.base import SHARES
from seqmodels.training.environment import starts, versions
from seqmodels.training.facts import older_facts
from seqmodels.training.resolving import resolved
from seqmodels.training.run_files import read_event_lines, read_run_file

Content = dict[str, Any]
"""A JSON object."""


class StoredRun(NamedTuple):
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
    """What it noted of its task when it began; of one that didn't the score and its direction."""
    decided: Content
    """What it decided by itself, such as its devices."""

    @property
    def name(self) -> str:
        return readable(self.folder.resolve().name)

    @property
    def task(self) -> str:
        return self.config["task"]["kind"]

    @property
    def length(self) -> int | None:
        """That it was trained and scored at; None of a trial that has not begun."""
        return self.config["train"]["length"] if self.config else None

    @property
    def seed(self) -> Number | None:
        return self.config["seed"] if self.config else number(self.asked["overrides"].get("seed"))

    @property
    def asked(self) -> Content:
        """The arguments of ``get_config`` and the overrides by which it was made; empty where it
        noted none."""
        return self.trial or self.facts.get("origin", {})

    @property
    def mixer(self) -> str:
        """The mixer that was asked for, else those of the model's pattern."""
        if "mixer" in (arguments := self.asked.get("arguments", {})):
            return readable(str(arguments["mixer"]))
        pattern = self.config["model"].get("pattern") if self.config else None
        names = pattern if isinstance(pattern, list) else []
        return readable("+".join(dict.fromkeys(map(str, names)))) or "unknown"

    @property
    def last_lengths(self) -> Content:
        """Scores of its last scored step, by split and length."""
        return self.lengths[max(self.lengths, key=int)] if self.lengths else {}


class Sweep(NamedTuple):
    """A sweep's folder: sweep.json, the rows of summary.json, and a run a trial."""

    folder: Path
    content: Content
    summary: list[Content]
    trials: list[StoredRun]


class Scaling(NamedTuple):
    """A scaling experiment's folder: scaling.json."""

    folder: Path
    config: Content
    content: Content


class Found(NamedTuple):
    """All that lies in some folders, and a line for each thing that had to be left out."""

    runs: list[StoredRun]
    sweeps: list[Sweep]
    scalings: list[Scaling]
    skipped: list[str]


Skip = Callable[[str], None]
"""Is told, in a line, of what can't be read."""


class _Named(TypedDict):
    """What a point of ``sweep.json`` has at least: the name of its folder."""

    name: Name


def find(folders: Sequence[str], warn: Skip) -> Found:
    """Reads every run, sweep and scaling experiment in the folders or below them, each once.

    Raises:
      UserError: a folder does not exist, or there is nothing in any.
    """
    found = Found([], [], [], [])

    def skip(what: str) -> None:
        what = str(UserError(what))  # in one line
        found.skipped.append(readable(what))
        warn(readable(what))

    now = versions()
    seen: set[Path] = set()
    for folder in folders:
        if not os.path.isdir(folder):  # pathlib's raises for a name that is too long
            what = "is no folder" if os.path.exists(folder) else "no such folder"
            raise UserError(f"{readable(folder)}: {what}; name folders of runs or sweeps")
        for path, kind in _below(Path(folder), skip):
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            try:
                if kind == "sweep.json":
                    found.sweeps.append(_read_sweep(path, now, skip))
                elif kind == "scaling.json":
                    found.scalings.append(_read_scaling(path, skip))
                elif (path / "cells").is_dir():
                    skip(f"{path} holds a scaling that is not done; its command goes on with it")
                else:
                    found.runs.append(_read_run(path, now, {}, skip))
            except UnreadableError as error:
                skip(f"{error}; all of {path} is left out")
    for other in [other for sweep in found.sweeps for other in _others(sweep)]:
        if other.resolve() not in seen:
            skip(f"{other} is no run of the sweep, and is left out; name it too to see it")
    if not (found.runs or found.sweeps or found.scalings):
        where = ", ".join(readable(folder) for folder in folders)
        raise UserError(
            f"{where}: no run, sweep or scaling experiment that can be read lies there "
            "(config.json, sweep.json, scaling.json); train first"
        )
    trials = {run.folder.resolve() for sweep in found.sweeps for run in sweep.trials}
    alone = [run for run in found.runs if run.folder.resolve() not in trials]
    return found._replace(runs=alone)


def _below(folder: Path, skip: Skip) -> list[tuple[Path, str]]:
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


def _read_or_skip(read: Callable[[], Content | None], skip: Skip) -> Content:
    """A file that the rest can do without."""
    try:
        return read() or {}
    except UnreadableError as error:
        skip(f"{error}; it is left out")
        return {}


def _read_run(folder: Path, now: Content, trial: Content, skip: Skip) -> StoredRun:
    results = read_run_file(folder, "results.json")
    config, decided = _read_config(folder)
    environment, lengths, facts = (
        _read_or_skip(lambda name=name: read_run_file(folder, name), skip)
        for name in ("environment.json", "lengths.json", "facts.json")
    )
    environment = next(reversed(starts(environment)), {})
    events = _read_events(folder, skip)
    if config and not facts:
        facts = older_facts(config, {name for e in events if e["split"] != "train" for name in e})
    state = _state(config, decided, events, results, trial)
    other = _other_version(environment, now)
    states = (state, *([other] if other else []))
    found = config, environment, events, results, lengths, trial, states, facts, decided
    return StoredRun(folder, *found)


def _read_config(folder: Path) -> tuple[Content, Content]:
    """A run's config with every key, so that those of other versions can be held against it.

    And what it decided by itself.
    """
    stored = read_run_file(folder, "config.json")
    if stored is None:
        return {}, {}
    try:
        return to_dict(resolved(stored, stored)), stored.get(DECIDED, {})
    except ConfigError as error:
        raise UnreadableError(f"{folder / 'config.json'} holds no config: {error}") from None


def _read_events(folder: Path, skip: Skip) -> list[Content]:
    """The events that can be read; of a file with others a line says how many."""
    events: list[Content] = []
    bad: list[UnreadableError] = []
    try:
        for _, event in read_event_lines(folder):
            if isinstance(event, UnreadableError):
                bad.append(event)
            else:
                events.append(event)
    except UnreadableError as error:  # the whole file
        bad.append(error)
    if bad:
        several = f"; so do {len(bad) - 1:,} other lines" if len(bad) > 1 else ""
        skip(f"{bad[0]}{several}; the rest is shown")
    return events


def _state(
    config: Content,
    decided: Content,
    events: list[Content],
    results: Content | None,
    trial: Content,
) -> str:
    said = trial.get("state")
    if said in ("failed", "pruned"):
        return f"{said}: {trial['reason']}" if trial.get("reason") else said
    if results is not None:
        return "finished"
    if events and any(e.get("split") == "train" and number(e.get("loss")) is None for e in events):
        return f"failed: the loss stopped being finite by step {events[-1]['step']}"
    if diverged := [e for e in events if e.get("split") == "diverged"]:
        spike = all(number(diverged[-1].get(of)) is not None for of in ("loss", "gradient_norm"))
        what = "the loss was a spike" if spike else "the loss or its gradient stopped being finite"
        return f"failed: {what} at step {diverged[-1]['step']:,}"
    if said == "waiting" or (said is None and not config):
        return "waiting"
    how_far = f"step {max((e['step'] for e in events), default=0):,}"
    how_far += f" of {decided.get('steps', config['train']['steps']):,}" if config else ""
    return f"{'running' if said == 'running' else 'unfinished'}: {how_far}"


def _other_version(environment: Content, now: Content) -> str | None:
    """In what the versions of seqmodels and JAX that made a run differ from those of now."""
    made = environment.get("packages", {})
    differing = [
        f"{name} {made[name]}, now {now['packages'][name]}"
        for name in ("seqmodels", "jax")
        if name in made and made[name] != now["packages"][name]
    ]
    commit = environment.get("commit")
    if isinstance(commit, str) and now["commit"] and commit != now["commit"]:
        differing.append(f"commit {commit[:7]}, now {now['commit'][:7]}")
    return f"other version: {'; '.join(differing)}" if differing else None


def _read_sweep(folder: Path, now: Content, skip: Skip) -> Sweep:
    file = folder / "sweep.json"
    content: Any = read_json(file, SweepFile)
    if content is None:
        raise UnreadableError(f"{file} is gone")
    trials = []
    for point in [*content["points"], *_searched(folder, content["points"])]:
        try:
            name = convert(point, _Named, f"{file}: a point")["name"]
            trial = Trial(folder, name)
            told = trial.read() or convert(point, PointFile, f"{file}: a point")
            trials.append(_read_run(trial.folder, now, dict(told), skip))
        except UnreadableError as error:
            skip(f"{error}; the trial is left out")
    return Sweep(folder, content, _read_summary(folder / "summary.json", skip), trials)


def _read_summary(file: Path, skip: Skip) -> list[Content]:
    rows: list[Any] = []
    try:
        for place, row in enumerate(read_json(file, list[Any]) or []):
            rows.append(convert(row, GroupFile, f"{file}, row {place}"))
    except UnreadableError as error:
        skip(f"{error}; what follows of it is left out")
    return rows


def _others(sweep: Sweep) -> list[Path]:
    """The runs that lie among a sweep's, and that it knows nothing of."""
    known = [point.get("name") for point in sweep.content["points"] if isinstance(point, dict)]
    if len(known) < len(sweep.content["points"]) or None in known:
        return []  # it may be one of those that could not be read
    found = [file.parent for file in sorted(sweep.folder.glob("trials/*/config.json"))]
    return [run for run in found if run.name not in known and not (run / "trial.json").exists()]


def _searched(folder: Path, points: list[Any]) -> list[Content]:
    """The trials whose point a search chose as it went, by their names."""
    known = {str(point.get("name")) for point in points if isinstance(point, dict)}
    names = [file.parent.name for file in sorted(folder.glob("trials/*/trial.json"))]
    return [{"name": name} for name in names if name not in known]


def _read_scaling(folder: Path, skip: Skip) -> Scaling:
    content: Any = read_scaling(folder, lambda error: skip(f"{error}; it is left out"))
    if content is None:
        raise UnreadableError(f"{folder}/scaling.json is gone")
    for entry in content["quality"]:  # those of an earlier version state the score alone
        entry.setdefault("higher_is_better", entry["score"] in SHARES)
    config = _read_or_skip(lambda: read_json(folder / "config.json", dict[str, Any]), skip)
    return Scaling(folder, config, content)
