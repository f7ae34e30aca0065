"""A task's metrics of a model's scores, which are never whole where they would be large.

A model's scores [B, P, V] are by far the largest array of a step on many positions and a large
vocabulary: 2 GiB a row at V = 8,192 and P = 65,536 where its vectors [B, P, D] take 16 MiB at
D = 64. Metrics are sums over positions, so above some size they are added up by chunks of
positions: each chunk's vectors are scored, measured, and its scores forgotten. The backward pass
makes each chunk's scores again, and adds up the head's gradient in float32.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from seqmodels.arrays import Array, Float, Key, Params
from seqmodels.model import Model
from seqmodels.ops.platform import platform
from seqmodels.tasks.base import Batch, Metrics, Task
from seqmodels.tasks.row_metrics import Rows, join_parts, row_metrics

Measure = Callable[[Array, Batch], tuple[Rows, Any]]
"""Scores and their batch to metrics by row, [B], and to what is said of each position, [B, P]."""
WHOLE = 4
"""Up to so many chunks' scores are made at once: what follows is then one product, and as it was
before there were chunks."""


def scores_at_once() -> int:
    """How many scores a chunk has on each device.

    On CPU 4 MiB of them stay in a core's cache from the product to the loss and back: at V = 8,192
    and D = 64 the gradient takes 0.6 of the time that whole scores take, though it makes them
    twice. Other devices want larger products, for which 64 MiB are little.
    """
    return 2**20 if platform() == "cpu" else 2**24


def model_metrics(
    model: Model, task: Task, params: Params, batch: Batch, key: Key[Array, ""] | None
) -> Metrics:
    """``task.metrics(model.apply(params, batch, key), batch)``."""
    x = model.vectors(params, batch, key)
    score = partial(model.score, params)
    size = chunk_of_positions(x, batch, task.spec.outputs)
    if size is None:
        return task.metrics(score(x), batch)
    rows, _ = _in_chunks(score, lambda *part: (row_metrics(task, *part), ()), x, batch, size)
    return jax.tree.map(jnp.sum, dict(rows))


def measure_model(
    model: Model, task: Task, params: Params, batch: Batch, measure: Measure
) -> tuple[Rows, Any]:
    """``measure(model.apply(params, batch), batch)``."""
    x = model.vectors(params, batch, None)
    score = partial(model.score, params)
    size = chunk_of_positions(x, batch, task.spec.outputs)
    if size is None:
        return measure(score(x), batch)
    return _in_chunks(score, measure, x, batch, size)


def chunk_of_positions(x: Float[Array, "B *P D"], batch: Batch, outputs: int) -> int | None:
    """How many positions are scored at a time; None for all, if a device has few scores in all."""
    if x.ndim != 3 or batch.targets.ndim != 2:
        return None  # one label a row
    rows = -(-x.shape[0] // jax.sharding.get_abstract_mesh().shape.get("data", 1))
    size = max(1, scores_at_once() // (rows * outputs))
    return size if x.shape[1] > WHOLE * size else None


def _in_chunks(
    score: Callable[[Array], Array],
    measure: Measure,
    x: Float[Array, "B P D"],
    batch: Batch,
    size: int,
) -> tuple[Rows, Any]:
    """``measure(score(x), batch)``, of ``size`` positions or fewer at a time."""
    rows, length = x.shape[:2]
    count = -(-length // size)
    size = -(-length // count)  # all as long, but for what fills up the last one

    def split(array: Any) -> Array:
        ends = ((0, 0), (0, count * size - length), *((0, 0),) * (array.ndim - 2))
        chunks = jnp.pad(array, ends).reshape(rows, count, size, *array.shape[2:])
        return jnp.moveaxis(chunks, 1, 0)  # [chunks, B, C, ...]

    def of_chunk(chunk: Any) -> tuple[Rows, Any]:
        vectors, targets, weights, positions = chunk
        part = batch._replace(targets=targets, weights=weights, positions=positions)
        return measure(score(vectors), part)

    @partial(jax.checkpoint, prevent_cse=False)  # a scan needs no barrier
    def add(total: Rows, chunk: Any) -> tuple[Rows, Any]:
        here, each = of_chunk(chunk)
        return join_parts(total, here), each

    chunks = jax.tree.map(split, (x, batch.targets, batch.weights, batch.positions))
    shapes, _ = jax.eval_shape(of_chunk, jax.tree.map(lambda c: c[0], chunks))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    total, each = jax.lax.scan(add, zeros, chunks)
    return total, jax.tree.map(
        lambda y: jnp.moveaxis(y, 0, 1).reshape(rows, -1, *y.shape[3:])[:, :length], each
    )
