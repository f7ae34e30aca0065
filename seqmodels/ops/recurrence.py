"""Recurrences over time, on inputs that are projected already."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from seqmodels.arrays import Array, Bool, Float, State


def simple_rnn(
    inputs: Float[Array, "B L D"],
    weights: Float[Array, "D D"],
    state: Float[Array, "B D"],
    mask: Bool[Array, "B L"] | None = None,
    activation: Literal["tanh", "relu"] = "tanh",
) -> tuple[Float[Array, "B L D"], Float[Array, "B D"]]:
    """``h_t = f(x_t + h_{t-1} U)``; returns every h, and the last in float32."""
    f = {"tanh": jnp.tanh, "relu": jax.nn.relu}[activation]

    def step(h, x):
        return f(x.astype(jnp.float32) + _product(h, weights, x.dtype))

    return _scan(step, inputs, state, mask, lambda h: h)


def lstm(
    inputs: Float[Array, "B L G"],
    weights: Float[Array, "D G"],
    state: tuple[Float[Array, "B D"], Float[Array, "B D"]],
    mask: Bool[Array, "B L"] | None = None,
) -> tuple[Float[Array, "B L D"], tuple[Float[Array, "B D"], Float[Array, "B D"]]]:
    """Gates i, f, g, o (PyTorch's order); returns every h, and the last h and c in float32."""

    def step(carry, x):
        h, c = carry
        gates = x.astype(jnp.float32) + _product(h, weights, x.dtype)
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c

    return _scan(step, inputs, state, mask, lambda carry: carry[0])


def gru(
    inputs: Float[Array, "B L G"],
    weights: Float[Array, "D G"],
    bias: Float[Array, "D"],
    state: Float[Array, "B D"],
    mask: Bool[Array, "B L"] | None = None,
) -> tuple[Float[Array, "B L D"], Float[Array, "B D"]]:
    """Gates r, z, n (PyTorch's order and equations); returns every h, and the last in float32."""

    def step(h, x):
        x_r, x_z, x_n = jnp.split(x.astype(jnp.float32), 3, axis=-1)
        h_r, h_z, h_n = jnp.split(_product(h, weights, x.dtype), 3, axis=-1)
        r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
        n = jnp.tanh(x_n + r * (h_n + bias[None]))
        return (1 - z) * n + z * h

    return _scan(step, inputs, state, mask, lambda h: h)


def _product(h, weights, dtype):
    return (h.astype(dtype) @ weights.astype(dtype)).astype(jnp.float32)


def _scan(step: Callable, inputs: Array, state: State, mask: Array | None, output: Callable):
    def masked(carry, x_and_valid):
        x, valid = x_and_valid
        new = step(carry, x)
        if valid is not None:
            new = jax.tree.map(lambda a, b: jnp.where(valid[:, None], a, b), new, carry)
        return new, output(new).astype(inputs.dtype)

    times = (jnp.swapaxes(inputs, 0, 1), None if mask is None else mask.T)
    state, outputs = jax.lax.scan(masked, state, times)
    return jnp.swapaxes(outputs, 0, 1), state


simple_rnn_reference, lstm_reference, gru_reference = simple_rnn, lstm, gru
