"""A task's metrics of a model's scores, which are never whole where they would be large.

Scores [B, P, V] at many positions of a large vocabulary are by far the largest array of a step:
2 GiB a row at V = 8,192 and P = 65,536, where the vectors [B, P, D] that they are made of take
16 MiB at D = 64. Metrics add up over positions, so above some size each chunk of positions is
scored and measured by itself, and its scores are made again in the backward pass.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from seqmodels.arrays import AnyArray, Array, Float, Key, Params
from seqmodels.model import Model
from seqmodels.ops.by_parts import shares
from seqmodels.ops.by_positions import by_positions
from seqmodels.ops.parts import parts
from seqmodels.ops.platform import platform
from seqmodels.tasks.base import Batch, Metrics, Task
from seqmodels.tasks.row_metrics import Rows, join_parts, row_metrics

Measure = Callable[[Array, Batch], tuple[Rows, Any]]
"""Scores and their batch to metrics of each row, [B], and what is said of each position, [B, P]."""
WHOLE = 4
"""Up to so many chunks' scores are made at once, which takes little memory."""


def scores_at_once() -> int:
    """How many scores a chunk has on each device.

    On CPU 4 MiB of them stay in a core's cache from the product to the loss and back, which saves
    about what making them twice takes (docs/performance.md). Other devices want larger products,
    and have more memory.
    """
    return 2**20 if platform() == "cpu" else 2**24


def model_metrics(
    model: Model, task: Task, params: Params, batch: Batch, key: Key[Array, ""] | None
) -> Metrics:
    """``task.metrics(model.apply(params, batch, key), batch)``."""
    x = model.vectors(params, batch, key)
    size = _positions_at_once(x, batch, task)
    if size is None:
        return task.metrics(model.score(params, x), batch)
    rows, _ = _in_chunks(model, lambda *of: (row_metrics(task, *of), ()), size, params, x, batch)
    return jax.tree.map(jnp.sum, dict(rows))


def measure_model(
    model: Model, task: Task, params: Params, batch: Batch, measure: Measure
) -> tuple[Rows, Any]:
    """``measure(model.apply(params, batch), batch)``, for what a task says of rows and targets."""
    x = model.vectors(params, batch)
    size = _positions_at_once(x, batch, task)
    if size is None:
        return measure(model.score(params, x), batch)
    return _in_chunks(model, measure, size, params, x, batch)


def _positions_at_once(x: Float[Array, "B *P D"], batch: Batch, task: Task) -> int | None:
    """How many of a device's positions have their scores at a time; None for all."""
    if x.ndim != 3 or batch.targets.ndim != 2:
        return None  # a row has one label
    rows, positions = x.shape[:2]
    positions //= shares("sequence", positions)
    of_position = -(-rows // parts("data")) * task.spec.outputs
    if positions * of_position <= WHOLE * scores_at_once():
        return None
    size = max(1, scores_at_once() // of_position)
    return size if size < positions else None


def _in_chunks(
    model: Model,
    measure: Measure,
    size: int,
    params: Params,
    x: Float[Array, "B P D"],
    batch: Batch,
) -> tuple[Rows, Any]:
    def of_chunk(params: Params, chunk: tuple[Array, AnyArray, AnyArray]) -> tuple[Rows, Any]:
        vectors, targets, weights = chunk
        # Metrics don't look at the inputs: any that have the rows will do.
        return measure(model.score(params, vectors), Batch(targets, targets, weights))

    return by_positions(of_chunk, join_parts, size, params, (x, batch.targets, batch.weights))
