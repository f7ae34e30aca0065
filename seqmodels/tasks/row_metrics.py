"""Each example's own metrics, and how those of its parts make those of the whole."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from seqmodels.arrays import AnyArray, Array, Float
from seqmodels.tasks.base import Batch, Metrics, Task

PER_EXAMPLE = ("exact_match",)
"""Metrics that ask of an example whether it is wholly right: its sum is its count, or 0. The others
add up over its targets."""


def row_metrics(task: Task, outputs: Float[Array, "B *P V"], batch: Batch) -> Metrics:
    """The task's metrics of each row by itself: sums and counts [B]."""

    def one(outputs: Array, batch: Batch) -> Metrics:
        return task.metrics(outputs[None], jax.tree.map(lambda x: x[None], batch))

    return jax.vmap(one)(outputs, batch)


Rows = Mapping[str, tuple[AnyArray, AnyArray]]
"""Row metrics, on the device or read from it."""


def join_parts(first: Rows, second: Rows) -> Rows:
    """The row metrics of two parts of the same rows as those of both together."""
    joined = {}
    for name, (total, count) in first.items():
        other_total, other_count = second[name]
        if name in PER_EXAMPLE:
            both = jnp.maximum(count, other_count)
            right = (total >= count) & (other_total >= other_count)
            joined[name] = (jnp.where(right, both, jnp.zeros_like(both)), both)
        else:
            joined[name] = (total + other_total, count + other_count)
    return joined
