"""The recurrences as a textbook writes them, in float64: what every form of them is held against.

``lax.scan`` and autodiff under JAX's 64-bit types; nothing is shared with the package.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax


def simple_rnn(states, x, weights, bias, activation="tanh"):
    """``h_t = f(x_t + h_{t-1} U)``."""
    del bias
    f = {"tanh": jnp.tanh, "relu": lambda a: jnp.maximum(a, 0)}[activation]
    return (f(x + states[0] @ weights),)


def lstm(states, x, weights, bias):
    """``c_t = f c_{t-1} + i g``, ``h_t = o tanh(c_t)``."""
    del bias
    h, c = states
    i, f, g, o = jnp.split(x + h @ weights, 4, axis=1)
    c = _sigmoid(f) * c + _sigmoid(i) * jnp.tanh(g)
    return _sigmoid(o) * jnp.tanh(c), c


def gru(states, x, weights, bias):
    """``h_t = (1 - z) n + z h_{t-1}``, the reset after the product."""
    (h,) = states
    x_r, x_z, x_n = jnp.split(x, 3, axis=1)
    h_r, h_z, h_n = jnp.split(h @ weights, 3, axis=1)
    r, z = _sigmoid(x_r + h_r), _sigmoid(x_z + h_z)
    n = jnp.tanh(x_n + r * (h_n + bias[None]))
    return ((1 - z) * n + z * h,)


def _sigmoid(x):
    return 1 / (1 + jnp.exp(-x))


def run(step: Callable[..., tuple], arguments: dict[str, Any], mask: Any) -> tuple[Any, Any]:
    """Every h, and the last states."""
    weights, bias = arguments["weights"], arguments["bias"]
    states = arguments["state"] if isinstance(arguments["state"], tuple) else (arguments["state"],)
    inputs = jnp.swapaxes(arguments["inputs"], 0, 1)
    valid = jnp.ones(inputs.shape[:2], bool) if mask is None else jnp.asarray(mask).T

    def one(states, given):
        x, real = given
        new = step(states, x, weights, bias)
        new = tuple(jnp.where(real[:, None], a, b) for a, b in zip(new, states, strict=True))
        return new, new[0]

    states, outputs = lax.scan(one, states, (inputs, valid))
    return jnp.swapaxes(outputs, 0, 1), states if len(states) > 1 else states[0]
