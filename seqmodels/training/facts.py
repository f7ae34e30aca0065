"""What a run notes of its task and data when it begins, and each later start holds against it.

``facts.json`` is written once. It has how the task is scored; where its files lay, and the size and
digest of each; digests of its first training and validation batch; and the versions that drew them.
"""

import hashlib
import inspect
from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numpy as np
from ml_collections import ConfigDict

from seqmodels.config import Before, Section, rename_kinds
from seqmodels.errors import ConfigError
from seqmodels.tasks import TASKS
from seqmodels.tasks.base import Batch
from seqmodels.tasks.files.finding import is_there
from seqmodels.tasks.reading import FileRecord, ReadingTask, record_file
from seqmodels.training.experiment import Experiment
from seqmodels.training.run_files import Facts

FACTS = "facts.json"


def as_begun(config: Section, stored: Section | None) -> ConfigDict:
    """A config in which each key of the task stands that came later, as the run began.

    Where a folder's config lacks the key, an earlier version began its run, and the key has the
    value that leaves that run as it was (:class:`~seqmodels.config.Before`), whatever a config file
    of today says; else a key that isn't there has its default.

    Args:
      config: the config; it stays as it is.
      stored: that of the folder, if it has one.
    """
    whole = _copy(config)
    rename_kinds(whole)
    task: Any = whole.get("task")
    if not isinstance(task, ConfigDict) or str(task.get("kind")) not in TASKS:
        return whole.lock()  # refused when the task is built
    constructor = TASKS[str(task.kind)].__init__
    for name, hint in get_type_hints(constructor, include_extras=True).items():
        before = [extra for extra in get_args(hint) if isinstance(extra, Before)]
        if get_origin(hint) is not Annotated or not before:
            continue
        with whole.unlocked():
            if stored is not None and name not in _task(stored):
                task[name] = before[0].value
            elif name not in task:
                task[name] = inspect.signature(constructor).parameters[name].default
    return whole.lock()


def located(
    config: ConfigDict, stored: Section | None, facts: Mapping[str, Any] | None
) -> ConfigDict:
    """A config whose task reads its files where the run read them, from whatever folder.

    What isn't there any more is looked for as the config says it, from here.

    Args:
      config: the config; it stays as it is.
      stored: that of the run's folder; a setting that it has otherwise is left as it is.
      facts: what the run noted.
    """
    places = (facts or {}).get("places", {})
    before, now = _task(stored or {}), _task(config)
    found: Any = _copy(config)
    for name, place in places.items():
        if now and before.get(name) == now.get(name) and is_there(place):
            with found.unlocked(), found.ignore_type():
                found.task[name] = place
    return found.lock()


def _copy(config: Any) -> ConfigDict:
    return ConfigDict(config).copy_and_resolve_references()


def _task(stored: Section) -> dict[str, Any]:
    task: Any = stored.get("task")
    return dict(task.items()) if isinstance(task, Mapping | ConfigDict) else {}


def gather_facts(experiment: Experiment, versions: Mapping[str, Any]) -> Facts:
    """What is to be noted of a run that begins; draws two batches and reads the task's files.

    Args:
      experiment: what is about to be trained or scored.
      versions: as :func:`seqmodels.training.environment.versions` gives them.

    Raises:
      ConfigError: a file can't be read.
    """
    task, train = experiment.task, experiment.train
    batches = {
        "train": experiment.lengths.batch(0).batch,
        "validation": task.batch("validation", 0, train.batch_size, train.length),
    }
    packages = versions["packages"]
    facts = Facts(
        score=task.spec.score,
        higher_is_better=task.spec.higher_is_better,
        batches={split: digest(batch) for split, batch in batches.items()},
        drawn_by={
            "seqmodels": packages["seqmodels"],
            "commit": versions["commit"],
            "numpy": packages["numpy"],
        },
    )
    if isinstance(task, ReadingTask):
        facts["places"] = task.places
        facts["files"] = _records(task)
    return facts


def _records(task: ReadingTask) -> dict[str, tuple[int, str]]:
    records: dict[str, tuple[int, str]] = {}
    for name, path in task.reads().items():
        try:
            records[name] = record_file(path)
        except OSError as error:
            raise ConfigError(f"task: can't read {path}: {error.strerror}") from None
    return records


def digest(batch: Batch) -> str:
    """Tells a batch from any other."""
    whole = hashlib.sha256()
    for name, field in batch._asdict().items():
        if field is not None:
            array = np.ascontiguousarray(field)
            whole.update(f"{name} {array.dtype.str} {array.shape}".encode())
            whole.update(array.tobytes())
    return whole.hexdigest()


def other_files(then: Mapping[str, Any], now: Facts) -> str | None:
    """In which files two records differ, in words; None where they don't, or one has none."""
    if "files" not in then or "files" not in now:
        return None
    both: Any = (then["files"], now["files"])
    a, b = ({name: FileRecord(*record) for name, record in of.items()} for of in both)
    differing = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
    if not differing:
        return None
    name = differing[0]
    sizes = [f"{of[name].size:,} bytes" if name in of else "absent" for of in (a, b)]
    what = f"{sizes[0]}, now {sizes[1]}"
    if name in a and name in b and a[name].size == b[name].size:
        what = f"{sizes[0]} of other content"
    return f"{len(differing)} of {len(a.keys() | b.keys())} files, first {name!r} ({what})"


def other_batches(then: Mapping[str, Any], now: Facts) -> str | None:
    """Which batches two records have otherwise and who drew them; None where they don't differ."""
    a, b = then.get("batches", {}), now.get("batches", {})
    differing = [split for split in a if split in b and a[split] != b[split]]
    if not differing:
        return None
    drawn = [_version(facts.get("drawn_by", {})) for facts in (then, now)]
    return f"another first {' and '.join(differing)} batch: by {drawn[0]}, now by {drawn[1]}"


def _version(drawn_by: Mapping[str, str | None]) -> str:
    named = [f"{name} {version}" for name, version in drawn_by.items() if version is not None]
    return (
        ", ".join(f"commit {n[7:14]}" if n.startswith("commit ") else n for n in named)
        or "an unknown version"
    )
