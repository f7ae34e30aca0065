"""Scores by length as lines, tables, a picture and JSON."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from seqmodels.errors import UserError
from seqmodels.evaluation.intervals import Score
from seqmodels.evaluation.length_picture import draw_lengths
from seqmodels.evaluation.lengths import (
    Asked,
    LengthScores,
    effective_length,
    evaluate_lengths,
    read_lengths,
)
from seqmodels.evaluation.runs import LoadedRun, keep, load
from seqmodels.output import decoration
from seqmodels.tasks.base import SPLITS
from seqmodels.tasks.chance import WORDS
from seqmodels.terminal import print_table
from seqmodels.training.processes import say
from seqmodels.training.progress import format_value


def lengths_run(
    workdir: str,
    checkpoint: str,
    splits: Sequence[str],
    lengths: str,
    threshold: float | None = None,
    examples: int | None = None,
    chunk: int | None = None,
    devices: int | None = None,
    mesh: str | None = None,
) -> dict[int, LengthScores]:
    """Scores a run by length: prints it, draws it, and keeps it in ``lengths.json``.

    The file holds an entry a step, split and length; it is written after each length,
    with "other_data" where the data are others than the run began with. The ``threshold`` of the
    effective length is by default 0.9 where more is better, else there is none.
    """
    if len(splits) != 1 or splits[0] not in SPLITS:
        raise UserError(f"split={','.join(splits)}: lengths take one of {', '.join(SPLITS)}")
    asked = Asked(splits[0], read_lengths(lengths), examples, chunk)
    run = load(workdir, checkpoint, devices, mesh)
    spec, trained = run.experiment.task.spec, run.experiment.train.length
    if threshold is None and spec.higher_is_better:
        threshold = 0.9
    print(f"{workdir}, checkpoint {run.step}, trained up to length {trained}, {asked.split}:")
    run.workdir.read("lengths.json")  # what can't be read is said before it takes time
    scores: dict[int, LengthScores] = {}
    kept = True
    since = time.monotonic()
    for length, found in evaluate_lengths(run, asked):
        scores[length] = found
        kept = kept and keep(partial(_store, run, asked.split, length, found))
        now = time.monotonic()
        print(f"length {length:,}: {_shown(spec.score, found)}  {now - since:.1f} s", flush=True)
        since = now
    _print_tables(scores, spec.score)
    if threshold is not None:
        reached = effective_length(scores, spec.score, threshold, spec.higher_is_better)
        side = "at least" if spec.higher_is_better else "at most"
        what = f"{reached:,}" if reached else f"below {min(scores):,}"
        name = spec.score.replace("_", " ")
        print(f"effective length: {what} ({name} {side} {threshold:g}, and at all shorter ones)")
    if kept:
        with decoration("warning: the scores by length can't be drawn", say):
            print(draw_lengths(run, scores))
    return scores


def _store(run: LoadedRun, split: str, length: int, found: LengthScores) -> None:
    stored = run.workdir.read("lengths.json") or {}  # again: another may have added to it
    of_step = stored.setdefault(str(run.step), {})
    slices, by_position = (
        {name: _plain(values) for name, values in parts.items()}
        for parts in (found.slices, found.by_position)
    )
    entry = {"metrics": _plain(found.metrics), "slices": slices, "by_position": by_position}
    entry |= {**found.levels, **run.mark}
    of_step.setdefault(split, {})[str(length)] = entry
    run.workdir.write("lengths.json", stored)


def _plain(scores: dict[str, Score]) -> dict[str, Any]:
    return {name: made._asdict() for name, made in scores.items()}


def _shown(metric: str, found: LengthScores) -> str:
    made = found.metrics[metric]
    interval = f"{format_value(made.low)} to {format_value(made.high)}"
    return (
        f"{metric.replace('_', ' ')} {format_value(made.mean)} ({interval}, n = {made.examples:,})"
    )


def _print_tables(scores: dict[int, LengthScores], metric: str) -> None:
    """All metrics by length, and for each field the score by its values and the length."""
    names = list(next(iter(scores.values())).metrics)
    against = list(next(iter(scores.values())).levels)
    rows = [
        [
            f"{length:,}",
            f"{found.metrics[metric].examples:,}",
            *(_cell(found.metrics.get(name), name == metric) for name in names),
            *(format_value(found.levels[name]) for name in against),
        ]
        for length, found in scores.items()
    ]
    columns = [*names, *(WORDS[name] for name in against)]
    print_table(["length", "n", *(name.replace("_", " ") for name in columns)], rows)
    for field in next(iter(scores.values())).slices:
        by_length = {length: found.slices.get(field, {}) for length, found in scores.items()}
        values = {value for found in by_length.values() for value in found}
        values = sorted(values, key=lambda value: int(value.split("-")[0]))  # of 4-7 by 4
        rows = [[v, *(_cell(found.get(v), False) for found in by_length.values())] for v in values]
        title = f"{metric.replace('_', ' ')} by {field}"
        print_table([field, *(f"{length:,}" for length in by_length)], rows, title)


def _cell(made: Score | None, with_interval: bool) -> str:
    if made is None:
        return ""
    interval = f" ({format_value(made.low)} to {format_value(made.high)})" if with_interval else ""
    return format_value(made.mean) + interval
