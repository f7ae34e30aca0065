"""What a run notes of itself when it begins, and each later start holds its data against.

``facts.json`` is written once. It has where the config came from; how the task is scored, and what
guessing scores; where its files lay, and the size and digest of each; digests of its first training
and validation batch; and the versions that drew them.
"""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from seqmodels.config import Origin
from seqmodels.errors import ConfigError, UserError
from seqmodels.tasks import TASKS
from seqmodels.tasks.base import SHARES, SPLITS, Batch
from seqmodels.tasks.chance import levels
from seqmodels.tasks.reading import FileRecord, ReadingTask, record_file
from seqmodels.training.environment import versions
from seqmodels.training.experiment import Experiment
from seqmodels.training.processes import say
from seqmodels.training.run_files import Facts, StartFile
from seqmodels.training.workdir import Workdir

FACTS = "facts.json"


def gather_facts(experiment: Experiment, by: Mapping[str, Any]) -> Facts:
    """What is to be noted of a run that begins; draws two batches and reads the task's files.

    ``by`` is as :func:`seqmodels.training.environment.versions` gives it.

    Raises:
      ConfigError: a file can't be read.
    """
    task, train = experiment.task, experiment.train
    batches = {
        "train": experiment.lengths.batch(0).batch,
        "validation": task.batch("validation", 0, train.batch_size, train.length),
    }
    packages = by["packages"]
    facts = Facts(
        score=task.spec.score,
        higher_is_better=task.spec.higher_is_better,
        batches={split: digest(batch) for split, batch in batches.items()},
        drawn_by={
            "seqmodels": packages["seqmodels"],
            "commit": by["commit"],
            "numpy": packages["numpy"],
        },
    )
    if isinstance(task, ReadingTask):
        files: dict[str, tuple[int, str]] = {}
        facts["places"], facts["files"] = task.places, files
        for name, path in task.reads().items():
            try:
                files[name] = record_file(path)
            except OSError as error:
                raise ConfigError(f"task: can't read {path}: {error.strerror}") from None
    return facts


def older_facts(config: Mapping[str, Any], measured: Collection[str]) -> dict[str, Any]:
    """How the task of a run was judged that noted nothing: by what it has measured, and by what
    its task says where others measure that too."""
    order = ("bits_per_byte", "bits_per_pixel", "squared_error", "accuracy", "loss")
    if "decoder" in config["model"]:  # others measure it beside their accuracy
        order = ("exact_match", *order)
    own = getattr(TASKS.get(config["task"]["kind"]), "score", None)
    score = own or next((name for name in order if name in measured), "accuracy")
    return {"score": score, "higher_is_better": score in SHARES}


def keep_facts(
    experiment: Experiment,
    run: Workdir,
    origin: Origin | None,
    start_from: StartFile | None = None,
) -> None:
    """Notes what a run is of when it begins, and refuses others when it goes on."""
    if isinstance(experiment.task, ReadingTask):
        held = experiment.task.holds()
        say("data: " + "; ".join(f"{split} {held[split]}" for split in SPLITS))
    then = run.facts()
    now: Any = gather_facts(experiment, versions())
    if then is None:
        if run.is_continued and run.checkpoints.is_dir():  # else nothing was trained on
            say(
                f"{run.path} says nothing of the data that it began with, as an earlier version "
                "made it; what this version reads and draws is noted from here on"
            )
        now |= levels(experiment.task, "test", experiment.train.length)
        if origin is not None:
            now["origin"] = origin
        if start_from is not None:
            now["start_from"] = start_from
        run.write(FACTS, now)
        return
    differing = other_files(then, now) or other_batches(then, now)
    if differing:
        raise UserError(
            f"workdir={run.path} began with other data than there are now: {differing}; bring "
            "back what it began with, or choose another folder"
        )


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
