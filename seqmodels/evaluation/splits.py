"""Scores of a trained run, as a table and as JSON."""

from collections.abc import Mapping, Sequence

from seqmodels.errors import UserError
from seqmodels.evaluation.runs import keep, load
from seqmodels.tasks.base import SPLITS, Split
from seqmodels.tasks.chance import WORDS, levels
from seqmodels.terminal import print_table
from seqmodels.training.progress import format_value


def evaluate_run(
    workdir: str,
    checkpoint: str,
    names: Sequence[str],
    devices: int | None = None,
    mesh: str | None = None,
) -> dict[Split, dict[str, float]]:
    """Scores a checkpoint of a run, prints a table and adds it to ``evaluations.json``.

    The file holds one entry a step and split: ``{"300": {"test": {"accuracy": 0.98}}}``.
    Where the data are others than the run began with, an entry says so, as ``"other_data"``.
    """
    splits: list[Split] = [split for split in SPLITS if split in names]
    unknown = [name for name in names if name not in SPLITS]
    if unknown or not splits:
        wrong = unknown[0] if unknown else ""
        raise UserError(f"split={wrong!r} is not one of {', '.join(SPLITS)}")
    run = load(workdir, checkpoint, devices, mesh)
    run.workdir.read("evaluations.json")  # what can't be read is said before it takes time
    scores = run.evaluate(*splits)
    length = run.experiment.train.length
    held: dict[Split, dict[str, float]]
    held = {split: levels(run.task, split, length) for split in splits}

    def store() -> None:
        stored = run.workdir.read("evaluations.json") or {}  # again: another may have added to it
        marked = {split: metrics | run.mark for split, metrics in scores.items()}
        stored[str(run.step)] = stored.get(str(run.step), {}) | marked
        run.workdir.write("evaluations.json", stored)

    keep(store)
    other = " (other data than the run's)" if run.mark else ""
    _print_table(scores, held, f"{workdir}, checkpoint {run.step}{other}")
    return scores


def _print_table(
    scores: Mapping[Split, dict[str, float]], held: Mapping[Split, dict[str, float]], title: str
) -> None:
    """Each split's metrics, and what its score is held against."""
    names, against = (list(next(iter(values.values()))) for values in (scores, held))
    rows = [
        [split, *map(format_value, [*(metrics[name] for name in names), *held[split].values()])]
        for split, metrics in scores.items()
    ]
    columns = [*names, *(WORDS[name] for name in against)]
    print_table(["split", *(n.replace("_", " ") for n in columns)], rows, title, right=True)
