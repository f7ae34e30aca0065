"""Diagonal recurrences as a textbook writes them, in float64: what every form is held against.

Outputs by loops in NumPy, gradients by autodiff of ``lax.scan`` under JAX's 64-bit types. Complex
numbers are numbers here. Nothing is shared with the package.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax


def recurrence(decay: Any, inputs: Any, state: Any, valid: Any) -> tuple[np.ndarray, np.ndarray]:
    """``h_t = a_t h_{t-1} + b_t``: every h, and the last."""
    outputs = []
    for t in range(inputs.shape[1]):
        new = decay[:, min(t, decay.shape[1] - 1)] * state + inputs[:, t]
        state = np.where(valid[:, t].reshape(-1, *[1] * (state.ndim - 1)), new, state)
        outputs.append(state)
    return np.stack(outputs, axis=1), state


def selective(delta, A, B, C, x, state, valid, negative=False) -> tuple[np.ndarray, np.ndarray]:
    """``h_t = exp(delta_t A) h_{t-1} + delta_t B_t x_t``, ``y_t = C_t h_t``; decays may be spread
    from -1 to 1."""
    outputs = []
    for t in range(x.shape[1]):
        step = delta[:, t][:, None] * valid[:, t][:, None, None]
        decay = np.exp(step * A.T)
        decay = 2 * decay - 1 if negative else decay
        state = decay * state + step * x[:, t][:, None] * B[:, t][..., None]
        outputs.append((C[:, t][..., None] * state).sum(1))
    return np.stack(outputs, axis=1), state


def constant(decay, C, x, state, valid) -> tuple[np.ndarray, np.ndarray]:
    """``h_t = a h_{t-1} + x_t``, ``y_t = Re(C h_t)``."""
    outputs = []
    for t in range(x.shape[1]):
        new = decay * state + x[:, t][:, None]
        state = np.where(valid[:, t][:, None, None], new, state)
        outputs.append((C * state).real.sum(1))
    return np.stack(outputs, axis=1), state


def jax_recurrence(decay: Any, inputs: Any, state: Any, valid: Any) -> tuple[Any, Any]:
    """The first, for autodiff."""

    def step(state, given):
        a, b, real = given
        new = a * state + b
        state = jnp.where(real.reshape(-1, *[1] * (state.ndim - 1)), new, state)
        return state, state

    rows = jnp.broadcast_to(decay, (decay.shape[0], *inputs.shape[1:]))
    given = [jnp.moveaxis(array, 1, 0) for array in (rows, inputs, valid)]
    last, outputs = lax.scan(step, state, tuple(given))
    return jnp.moveaxis(outputs, 0, 1), last


def jax_selective(delta, A, B, C, x, state, valid) -> tuple[Any, Any]:
    """The second, for autodiff."""
    step = (delta * valid[:, :, None])[:, :, None]
    written = step * x[:, :, None] * B[..., None]
    h, last = jax_recurrence(jnp.exp(step * A.T[None, None]), written, state, valid)
    return (C[..., None] * h).sum(2), last


def jax_constant(decay, C, x, state, valid) -> tuple[Any, Any]:
    """The third, for autodiff."""
    h, last = jax_recurrence(decay[None, None], x[:, :, None] + 0 * decay[None, None], state, valid)
    return (C[None, None] * h).real.sum(2), last
