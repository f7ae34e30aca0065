"""Decays of states: how mixers show them, and how state-space models make them, of a rate and of
a step that the input says.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Bool, Float, Key
from seqmodels.layers import Axes
from seqmodels.observing import observe
from seqmodels.parameters import parameter

HIGHEST_RATE = 16.0
SHORTEST_STEP, LONGEST_STEP = 1e-3, 1e-1


def observe_decay(
    make: Callable[[], Float[Array, "#B #L #H *features"]], valid: Bool[Array, "B *L"] | None
) -> None:
    """Shows the logs of what multiplies a state at each position, as ``log_decay``, if asked.

    One for each head, or for each of a head's features, along axes as the state has them; where
    there are no heads H is 1. Where the input doesn't change them, B and L are 1. NaN in padding,
    at most 0 elsewhere.
    """
    observe("log_decay", lambda: _unpadded(make(), valid))


def observe_norms(
    make: Callable[[], Float[Array, "B L H"]], valid: Bool[Array, "B *L"] | None
) -> None:
    """Shows each head's Frobenius norm of a matrix state after each position, if asked.

    It is seen as ``state_norm``, NaN in padding.
    """
    observe("state_norm", lambda: _unpadded(make(), valid))


def _unpadded(x: Array, valid: Array | None) -> Array:
    if valid is None or x.shape[1] == 1 < valid.shape[1]:
        return x
    real = jnp.reshape(valid, (len(valid), -1, *[1] * (x.ndim - 2)))
    return jnp.where(real, x, jnp.nan)


class StepDecay(nnx.Module):
    """``a_t = exp(-exp(A_log) dt_t)`` with the step ``dt_t = softplus(x_t + dt_bias)``.

    As in Mamba-2 (Dao and Gu 2024), with a rate exp(A_log) a head, drawn uniformly from
    ``lowest_rate`` to 16. The biases are such that steps at x = 0 are drawn from 0.001 to 0.1,
    uniformly in their logs. Neither decays.

    Args:
      axes: those of a step: "H", or "H" and "K" where each key has one of its own.
    """

    def __init__(self, axes: Axes, lowest_rate: float, *, rngs: nnx.Rngs):
        heads = axes["H"]
        # Above 0: its log must be finite.
        drawn = jax.random.uniform(
            rngs.params(), (heads,), minval=max(lowest_rate, 1e-4), maxval=HIGHEST_RATE
        )
        self.A_log = parameter(jnp.log(drawn), "H", decays=False)
        bias = inverse_softplus(jnp.exp(log_steps(rngs.params(), tuple(axes.values()))))
        self.dt_bias = parameter(bias, (*axes,), decays=False)

    def steps(self, x: Float[Array, "B L *heads"]) -> Float[Array, "B L *heads"]:
        """``dt``, above 0, in float32."""
        bias = self.dt_bias[...]
        return jax.nn.softplus(x.astype(jnp.float32) + bias.reshape(1, 1, *bias.shape))

    def log(self, steps: Float[Array, "B L *heads"]) -> Float[Array, "B L *heads"]:
        """The logs of the decays of steps, below 0."""
        rates = jnp.exp(self.A_log[...])
        return -steps * rates.reshape(1, 1, -1, *[1] * (steps.ndim - 3))


def log_steps(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "*D"]:
    """Logs of steps, drawn evenly between those of 0.001 and 0.1."""
    low, high = math.log(SHORTEST_STEP), math.log(LONGEST_STEP)
    return jax.random.uniform(key, shape, minval=low, maxval=high)


def inverse_softplus(y: Float[Array, "*D"]) -> Float[Array, "*D"]:
    """x of which ``y = log(1 + exp(x))``, y > 0."""
    return y + jnp.log(-jnp.expm1(-y))
