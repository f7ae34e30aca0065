"""An average of the parameters over the updates, which is evaluated in their place."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from seqmodels.arrays import Array, Int, Params, PyTree


class AverageState(NamedTuple):
    """What an averaged descent keeps."""

    count: Int[Array, ""]
    """Updates done."""
    average: Params
    descent: PyTree[Array]


def averaged(descent: optax.GradientTransformation, decay: float) -> optax.GradientTransformation:
    """A descent that keeps the average ``(1 - d) sum_s d^(t - s) p_s / (1 - d^t)`` of the
    parameters p after each of its t updates.

    The division makes the weights sum to 1 from the first update on (as in Adam), so that what was
    drawn at the start counts for nothing.
    """

    def init(params: Params) -> AverageState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return AverageState(jnp.zeros((), jnp.int32), zeros, descent.init(params))

    def update(updates: Any, state: AverageState, params: Any = None) -> tuple[Any, AverageState]:
        updates, inner = descent.update(updates, state.descent, params)
        count = state.count + 1
        share = (1 - decay) / -jnp.expm1(count * math.log(decay))
        after = optax.apply_updates(params, updates)
        average = jax.tree.map(lambda a, p: a + share * (p - a), state.average, after)
        return updates, AverageState(count, average, inner)

    return optax.GradientTransformation(init, update)  # type: ignore[arg-type]
