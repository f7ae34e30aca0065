"""Scores against the length: how far does a trained model go?"""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from seqmodels.arrays import Int
from seqmodels.errors import ParameterError, UserError
from seqmodels.evaluation.by_position import places_of, scores_by_position
from seqmodels.evaluation.intervals import Score, score
from seqmodels.evaluation.runs import LoadedRun
from seqmodels.evaluation.scoring import (
    Scorer,
    Scores,
    chunked_scorer,
    require_streaming,
    whole_scorer,
)
from seqmodels.tasks.base import Batch, SlicedTask, Split, count_rows
from seqmodels.tasks.buckets import bucket, pad
from seqmodels.tasks.chance import levels
from seqmodels.tasks.row_metrics import PER_EXAMPLE
from seqmodels.training.memory import require_drawable, require_model_memory
from seqmodels.training.scores import AHEAD

MOST_LENGTHS = 1000
"""Lengths that are read from one text: each takes a pass over the split."""
_NUMBER = re.compile("[0-9]{1,18}")
MOST_SLICES = 12
"""Values of a field up to which each is a slice of its own; more are joined by powers of two."""


class LengthScores(NamedTuple):
    """What a model scores on sequences of one length."""

    metrics: dict[str, Score]
    slices: dict[str, dict[str, Score]]
    """By field and value the task's own score."""
    by_position: dict[str, dict[str, Score]]
    """By metric and position, where a sequence has targets at several."""
    levels: dict[str, float]
    """What the score is held against (:func:`seqmodels.tasks.chance.levels`)."""


class Asked(NamedTuple):
    """What is evaluated."""

    split: Split
    lengths: tuple[int, ...]
    examples: int | None = None
    """At most so many of each length; None for the whole split."""
    chunk: int | None = None
    """Positions read at once, the state carried from chunk to chunk; None reads all at once."""


def read_lengths(text: str) -> tuple[int, ...]:
    """Lengths from text; dots go on as the numbers before them do, by one factor or by one step.

    Two powers of two go on doubling. Of others that fit both a third number decides.

    >>> read_lengths("64,128,...,1024"), read_lengths("10,20,...,50"), read_lengths("7")
    ((64, 128, 256, 512, 1024), (10, 20, 30, 40, 50), (7,))
    >>> read_lengths("10,20,30,...,80"), read_lengths("10,20,40,...,80")
    ((10, 20, 30, 40, 50, 60, 70, 80), (10, 20, 40, 80))
    """
    words = [word.strip() for word in text.split(",")]
    numbers = [int(word) if _NUMBER.fullmatch(word) else 0 for word in words if word != "..."]
    try:
        if min(numbers, default=0) < 1 or "..." in words[-1:]:
            raise ValueError
        if "..." not in words:
            return tuple(sorted(set(numbers)))
        place = words.index("...")
        if place < 2 or words.count("...") > 1:
            raise ValueError
        return tuple(sorted({*numbers, *_continued(numbers[:place], numbers[place])}))
    except ValueError:
        raise UserError(
            f"lengths={text!r} is not a list of lengths of at least 1; write 64,128,256, or "
            "64,128,...,4096, where two numbers before the dots say how to go on"
        ) from None


def _continued(before: list[int], last: int) -> list[int]:
    """What the dots stand for: from the number before them to the one after them.

    Raises:
      ValueError: neither a factor nor a step leads there.
      UserError: both do, or a step takes too many.
    """
    first, second = before[-2:]
    if first >= second or second > last:
        raise ValueError
    factor, step = second // first, second - first
    doubled = [second]
    while second % first == 0 and doubled[-1] < last:
        doubled.append(doubled[-1] * factor)
    grows, climbs = doubled[-1] == last, (last - second) % step == 0
    count = (last - second) // step + 1
    if grows and climbs and 1 < count <= MOST_LENGTHS:
        zeroth = before[-3] if len(before) > 2 else None
        if zeroth is not None and (zeroth * factor == first) != (zeroth + step == first):
            grows, climbs = zeroth * factor == first, zeroth + step == first
        elif not (factor == 2 and first.bit_count() == 1):
            ways = [first, second, second * factor], [first, second, second + step]
            shown = " or ".join(_written(way, last) for way in ways)
            raise UserError(
                f"lengths={first},{second},...,{last} goes on by the factor {factor} and by the "
                f"step {step}; write {shown}"
            )
    if grows:
        return doubled
    if not climbs:
        raise ValueError
    if count > MOST_LENGTHS:
        raise UserError(
            f"lengths={first},{second},...,{last} goes on by {step}, to {count:,} "
            f"lengths; at most {MOST_LENGTHS:,} are taken: double them, as in 64,128,...,4096"
        )
    return list(range(second, last + 1, step))


def _written(way: list[int], last: int) -> str:
    """Three numbers and where they lead: in full, or with dots where that is long."""
    texts = [str(length) for length in (*way[:2], *_continued(way, last))]
    return ",".join(texts) if len(texts) <= 8 else ",".join([*map(str, way), "...", str(last)])


def evaluate_lengths(run: LoadedRun, asked: Asked) -> Iterator[tuple[int, LengthScores]]:
    """Scores a run on each length in turn.

    Batches are padded to their bucket's length (:mod:`seqmodels.tasks.buckets`), so that one
    program serves all lengths of a bucket, and have as many rows as keep their number of
    positions near that of a training batch. In chunks nothing is padded but the last.

    Raises:
      UserError: before anything is computed, of a length that the task can't make or the model
        can't serve.
    """
    task, model = run.experiment.task, run.experiment.model
    _check(run, asked)
    by_target = task.batch(asked.split, 0, 1, asked.lengths[0]).targets.ndim == 2
    if asked.chunk is None:
        scorer = whole_scorer(model, task, run.mesh, by_target)
    else:
        scorer = chunked_scorer(model, task, run.mesh, by_target, asked.chunk)
    for length in asked.lengths:
        yield length, _evaluate_length(run, asked, length, scorer)


def _check(run: LoadedRun, asked: Asked) -> None:
    task, model = run.experiment.task, run.experiment.model
    if asked.chunk is not None:
        require_streaming(model)
    for length in asked.lengths:
        positions = max(length, asked.chunk or 0)
        rows = _rows(run.experiment.train.batch_size, run.experiment.train.length, positions, 1)
        try:
            require_drawable(task, rows, positions, f"{positions:,} positions", "leave it out")
            vectors = asked.chunk or length
            require_model_memory(model, None, run.mesh, max(rows, _row_parts(run)), vectors)
            if task.examples(asked.split, length) is None:
                raise UserError(f"split={asked.split}: its examples are endless; use another")
            batch = task.batch(asked.split, 0, 1, length)
            if asked.chunk is None:
                jax.eval_shape(model.apply, run.params, pad(batch, _bucket(run, asked, length)))
            else:
                jax.eval_shape(partial(model.start, batch=1, room=length), run.params)
        except UserError as error:
            raise type(error)(f"lengths={','.join(map(str, asked.lengths))}: {error}") from None


def _bucket(run: LoadedRun, asked: Asked, length: int) -> Batch:
    """A batch with the shape of a length's bucket."""
    task = run.experiment.task
    if task.spec.rank > 1 or task.spec.shape == "one-to-many":
        raise ParameterError(
            f"length={length}: inputs of {task.spec.shape} tasks and grids have one"
        )
    return task.batch("train", 0, 1, bucket(task, length, max(asked.lengths)))


def _evaluate_length(run: LoadedRun, asked: Asked, length: int, scorer: Scorer) -> LengthScores:
    task, settings = run.experiment.task, run.experiment.train
    examples = task.examples(asked.split, length) or 0
    wanted = min(examples, asked.examples or examples)
    like = None if asked.chunk else _bucket(run, asked, length)
    positions = asked.chunk if like is None else like.inputs.shape[1]
    assert positions is not None
    rows = _rows(settings.batch_size, settings.length, positions, _row_parts(run))
    scores: list[Scores] = []
    fields: list[dict[str, np.ndarray]] = []
    places: list[np.ndarray] = []
    for step in range(-(-wanted // rows)):
        batch = task.batch(asked.split, step, rows, length)
        batch = count_rows(batch, step * rows + np.arange(rows) < wanted)
        scores.append(scorer(run.params, batch if like is None else pad(batch, like)))
        if step >= AHEAD:
            jax.block_until_ready(scores[step - AHEAD])
        fields.append(task.fields(batch) if isinstance(task, SlicedTask) else {})
        if batch.targets.ndim == 2:
            places.append(places_of(batch))
    scores = jax.device_get(scores)
    metrics, slices = _summary(task.spec.score, scores, fields)
    by_position = scores_by_position(scores, places) if places else {}
    return LengthScores(metrics, slices, by_position, levels(task, asked.split, length))


def _row_parts(run: LoadedRun) -> int:
    """How many devices share the rows of a batch."""
    return run.mesh.shape["data"]


def _rows(batch_size: int, trained: int, length: int, devices: int) -> int:
    """Rows a batch: as many as in training, fewer for longer sequences, the same on each device."""
    rows = min(batch_size, max(1, batch_size * trained // length))
    return max(1, rows // devices) * devices


def _summary(
    metric: str, batches: list[Scores], fields: list[dict[str, np.ndarray]]
) -> tuple[dict[str, Score], dict[str, dict[str, Score]]]:
    """Means over all batches, and over those examples or targets that share a field's value."""
    metrics = {}
    for name in batches[0].rows:
        sums, counts = (np.concatenate([b.rows[name][i] for b in batches]) for i in (0, 1))
        if (made := score(name, sums, counts)) is not None:
            metrics[name] = made
    slices = {}
    for field in fields[0]:
        values = np.concatenate([batch[field] for batch in fields])
        key = metric if values.ndim == 1 or metric in batches[0].targets else None
        if key is None:
            continue
        found = [b.rows if values.ndim == 1 else b.targets for b in batches]
        sums, counts = (
            np.concatenate([_trim(part[key][i], values) for part in found]) for i in (0, 1)
        )
        slices[field] = _sliced(key, values, sums, counts)
    return metrics, slices


def _trim(array: Any, values: np.ndarray) -> np.ndarray:
    """Scores of targets without those that padding added."""
    return array if values.ndim == 1 else array[:, : values.shape[1]]


def _sliced(
    metric: str, values: Int[np.ndarray, "n *P"], sums: np.ndarray, counts: np.ndarray
) -> dict[str, Score]:
    """A field's scores by its values, or by powers of two: 1, 2-3, 4-7, ..."""
    distinct = np.unique(values[counts > 0])
    groups = {str(value): (value, value) for value in distinct.tolist()}
    if len(distinct) > MOST_SLICES:
        exponents = np.unique(np.log2(np.maximum(distinct, 1)).astype(int)).tolist()
        ranges = [(2**e, 2 ** (e + 1) - 1) for e in exponents]
        groups = {f"{low}-{high}" if high > low else f"{low}": (low, high) for low, high in ranges}
        if distinct[0] < 1:
            groups = {"0": (distinct[0], 0)} | groups
    found = {}
    for name, (low, high) in groups.items():
        inside = (values >= low) & (values <= high)
        kept = [np.where(inside, part, 0) for part in (sums, counts)]
        if values.ndim == 2:  # the several targets of an example are not independent
            kept = [part.sum(axis=1) for part in kept]
            if metric in PER_EXAMPLE:  # all of those that are inside must be right
                some = (kept[1] > 0).astype(np.float32)
                kept = [some * (kept[0] >= kept[1]), some]
        if (made := score(metric, *kept)) is not None:
            found[name] = made
    return found


def effective_length(
    scores: dict[int, LengthScores], metric: str, threshold: float, higher_is_better: bool
) -> int | None:
    """The longest length up to which all scores keep to a threshold; None if the first doesn't."""
    reached = None
    for length in sorted(scores):
        mean = scores[length].metrics[metric].mean
        keeps = mean >= threshold if higher_is_better else mean <= threshold
        if not keeps:  # also where it is no number
            break
        reached = length
    return reached
