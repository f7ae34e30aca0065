"""What is kept of a sweep's finished runs: a line of ``results.json`` each, made to be committed.

The file is a list with a run a line; lines alone, as earlier versions wrote them, are read too.
A line has what makes the run again (config file, arguments and overrides, with digests of the
config that they resolve to and of the data), how it scored, and what it cost on which machine.
"""

import json
import math
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from ml_collections import ConfigDict

from seqmodels.config import to_dict
from seqmodels.errors import UserError
from seqmodels.json_files import (
    UnreadableError,
    listed_lines,
    read_json_lines,
    write_json,
    write_whole,
)
from seqmodels.locks import HeldError, held
from seqmodels.output import warn
from seqmodels.sweeps.files import known_runs, read_sweep
from seqmodels.sweeps.groups import Run, argument_text, override_texts, text_digest
from seqmodels.sweeps.trials import Count, Name, Trial
from seqmodels.training.environment import starts
from seqmodels.training.resolving import load_whole, resolved, without_defaults
from seqmodels.training.run_files import CostFile, Digits, Seconds, read_run_file


class LengthRecord(TypedDict):
    """What a run scores on test at a length that it was asked."""

    score: float
    examples: Count
    slices: NotRequired[dict[str, dict[str, float]]]
    """By field of the task and its values, such as the distance of what is asked."""


class Record(TypedDict):
    """A line: a finished run."""

    name: Name
    """That of its folder; no two lines have one."""
    config: str
    """The file; with the arguments and overrides it makes the config again."""
    arguments: dict[str, Any]
    overrides: dict[str, Any]
    resolved: str
    """A digest of what the config says beyond its defaults."""
    data: str
    """A digest of its first batches, and of the files that it read."""
    score: str
    higher_is_better: bool
    validation: float
    test: float
    """Of the checkpoint that validated best."""
    metrics: NotRequired[dict[str, float]]
    """Its other metrics on test, such as the loss; absent in lines of earlier versions."""
    by_length: NotRequired[dict[Digits, LengthRecord]]
    """Its scores by length, of those that an evaluation has asked."""
    chance: NotRequired[float]
    shown_chance: NotRequired[float]
    parameters: Count
    steps: Count
    best_step: Count
    seconds: Seconds
    cost: CostFile
    versions: dict[str, str | None]
    """The commit, a digest of what the checkout had beyond it, and the packages that compute."""


class Collected(TypedDict):
    """What came of :func:`collect`."""

    added: int
    runs: int
    """That the file has now."""


_PACKAGES = ("seqmodels", "jax", "flax", "optax", "numpy")


def read_records(file: Path) -> list[Record]:
    """The lines of a file; none where there is no file.

    Raises:
      UnreadableError: a line holds something else.
    """
    return [record for _, record in _lines(file)]


def collect(folder: Path, file: Path) -> Collected:
    """Adds a line for each run that a sweep's folder has finished and the file lacks.

    Lines are in the order of the runs' names, and none is ever changed, but that it gains scores at
    lengths that were asked since; the file is replaced whole.
    The sweep may go on meanwhile. What can't be read is said in a line, and left out.

    Raises:
      UserError: the folder holds no sweep, the file something else; or a run of the same name has
        another config there, as where the config file has changed.
    """
    sweep = read_sweep(folder)
    if sweep is None:
        raise UserError(f"sweep={folder} holds no sweep.json; name the folder of a sweep")
    config = sweep["config"].partition(":")[0]
    lock = file.with_name(f".{file.name}.lock")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with held(lock):
            lines = {record["name"]: (text, record) for text, record in _lines(file)}
            before, stood = len(lines), listed_lines(text for text, _ in lines.values())
            for run in known_runs(folder):
                try:
                    record = _record(Trial(folder, run.name), run, config, sweep["score"])
                except UnreadableError as error:
                    if run.name not in lines:  # else it may have been put back from its line
                        warn(f"{error}; the run is left out")
                    continue
                if record is None:
                    continue
                _, known = lines.setdefault(run.name, (json.dumps(record), record))
                if known["resolved"] != record["resolved"]:
                    raise UserError(
                        f"runs={file} has the run {run.name} of another config "
                        f"({known['resolved']}, now {record['resolved']}), since {config} has "
                        "changed; name another file, or delete its lines"
                    )
                asked = known.get("by_length", {}) | record.get("by_length", {})
                if asked != known.get("by_length", {}):
                    known["by_length"] = asked
                    lines[run.name] = (json.dumps(known), known)
            text = listed_lines(lines[name][0] for name in sorted(lines))
            if text != stood:
                write_whole(file, text)
    except HeldError as error:
        raise UserError(f"runs={file} is being written by {error}; try again") from None
    except OSError as error:
        raise UserError(f"runs={file} can't be written ({error.strerror})") from None
    return Collected(added=len(lines) - before, runs=len(lines))


def put_back(file: Path, folder: Path) -> int:
    """Gives a folder the results of a file's runs that it lacks, so that a sweep goes on from them.

    Returns how many; the folder may be new. Such a run has no checkpoint.

    Raises:
      UserError: the file holds nothing or something else; or its config file has changed since.
    """
    records = [record for record in read_records(file) if not _of(folder, record).exists()]
    if not file.exists():
        raise UserError(f"runs={file} is not there; name a file of runs, such as results.json")
    for record in records:
        arguments = argument_text(record["arguments"])
        spec = f"{record['config']}:{arguments}" if arguments else record["config"]
        config, _ = load_whole(spec, override_texts(record["overrides"]))
        if (now := _digest(config)) != record["resolved"]:
            raise UserError(
                f"runs={file} has the run {record['name']} of another config "
                f"({record['resolved']}, now {now}), since {record['config']} has changed; take "
                "its lines out, and they run anew"
            )
    for record in records:
        score = record["score"]
        scores = {split: {score: record[split]} for split in ("validation", "test")}
        scores["test"] |= record.get("metrics", {})
        same = {"steps", "best_step", "chance", "shown_chance", "parameters", "seconds", "cost"}
        _of(folder, record).parent.mkdir(parents=True, exist_ok=True)
        write_json(_of(folder, record), scores | {k: v for k, v in record.items() if k in same})
    return len(records)


def _of(folder: Path, record: Record) -> Path:
    return Trial(folder, record["name"]).folder / "results.json"


def _digest(whole: ConfigDict) -> str:
    """Of a config with every key: of what it says, so that keys of later versions change none, nor
    does how devices share the run, nor whether a pattern's repetitions stand in a loop.
    """
    said = to_dict(without_defaults(whole))
    said.pop("mesh", None)
    said["model"].pop("repeat", None)
    return text_digest(json.dumps(said, sort_keys=True))


def _lines(file: Path) -> list[tuple[str, Record]]:
    found = []
    for text, record in read_json_lines(file, Record, listed=True):
        if isinstance(record, UnreadableError):
            raise record
        found.append((text, record))
    return found


def _by_length(folder: Path, step: int, score: str) -> dict[str, Any]:
    """The scores by length of a run's best checkpoint on test, where any were asked."""
    stored = read_run_file(folder, "lengths.json") or {}
    asked = stored.get(str(step), {}).get("test", {})
    if not asked:
        return {}
    return {"by_length": {length: _at_length(asked[length], score) for length in asked}}


def _at_length(found: dict[str, Any], score: str) -> LengthRecord:
    made = found["metrics"][score]
    slices = {
        field: {value: part["mean"] for value, part in parts.items()}
        for field, parts in found["slices"].items()
    }
    return LengthRecord(score=made["mean"], examples=made["examples"], slices=slices)


def _record(trial: Trial, run: Run, config: str, score: str) -> Record | None:
    """The line of a run; None of one that has not finished."""
    results = trial.results(score)
    if results is None:
        return None
    stored, facts, environment = (
        read_run_file(trial.folder, name)
        for name in ("config.json", "facts.json", "environment.json")
    )
    if stored is None or facts is None or "cost" not in results:
        raise UnreadableError(
            f"{trial.folder} lacks its config, facts or cost: an earlier version made it"
        )
    made = next(reversed(starts(environment or {})), {})
    packages = made.get("packages", {})
    levels = {name: facts[name] for name in ("chance", "shown_chance") if name in facts}
    return Record(
        name=run.name,
        config=config,
        arguments=run.arguments,
        overrides=run.overrides,
        resolved=_digest(resolved(stored, stored)),
        data=text_digest(json.dumps([facts["batches"], facts.get("files")], sort_keys=True)),
        score=score,
        higher_is_better=facts["higher_is_better"],
        validation=results["validation"][score],
        test=results["test"][score],
        metrics={
            name: value
            for name, value in results["test"].items()
            if name != score and math.isfinite(value)
        },
        **_by_length(trial.folder, results["best_step"], score),
        **levels,
        parameters=results["parameters"],
        steps=results["steps"],
        best_step=results["best_step"],
        seconds=results["seconds"],
        cost=results["cost"],
        versions={
            **{name: made[name] for name in ("commit", "uncommitted") if name in made},
            **{name: packages.get(name) for name in _PACKAGES},
        },
    )
