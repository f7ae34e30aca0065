"""The recurrences of :mod:`seqmodels.ops.recurrence` as a textbook writes them.

``lax.scan`` and autodiff: what the fast forms are tested against.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Bool, Float
from seqmodels.ops.recurrence import product_dtype


def simple_rnn(
    inputs: Float[Array, "B L D"],
    weights: Float[Array, "D D"],
    state: Float[Array, "B D"],
    mask: Bool[Array, "B L"] | None = None,
    activation: Literal["tanh", "relu"] = "tanh",
) -> tuple[Float[Array, "B L D"], Float[Array, "B D"]]:
    """:func:`seqmodels.ops.recurrence.simple_rnn` by scan and autodiff."""
    f = {"tanh": jnp.tanh, "relu": jax.nn.relu}[activation]

    def step(states, x):
        return (f(x + _product(states[0], weights, inputs.dtype)),)

    outputs, (h,) = _scan(step, inputs, (state,), mask)
    return outputs, h


def lstm(
    inputs: Float[Array, "B L G"],
    weights: Float[Array, "D G"],
    state: tuple[Float[Array, "B D"], Float[Array, "B D"]],
    mask: Bool[Array, "B L"] | None = None,
) -> tuple[Float[Array, "B L D"], tuple[Float[Array, "B D"], Float[Array, "B D"]]]:
    """:func:`seqmodels.ops.recurrence.lstm` by scan and autodiff."""

    def step(states, x):
        h, c = states
        i, f, g, o = jnp.split(x + _product(h, weights, inputs.dtype), 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c

    outputs, (h, c) = _scan(step, inputs, state, mask)
    return outputs, (h, c)


def gru(
    inputs: Float[Array, "B L G"],
    weights: Float[Array, "D G"],
    bias: Float[Array, "D"],
    state: Float[Array, "B D"],
    mask: Bool[Array, "B L"] | None = None,
) -> tuple[Float[Array, "B L D"], Float[Array, "B D"]]:
    """:func:`seqmodels.ops.recurrence.gru` by scan and autodiff."""

    def step(states, x):
        (h,) = states
        x_r, x_z, x_n = jnp.split(x, 3, axis=1)
        h_r, h_z, h_n = jnp.split(_product(h, weights, inputs.dtype), 3, axis=1)
        r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
        n = jnp.tanh(x_n + r * (h_n + bias[None]))
        return ((1 - z) * n + z * h,)

    outputs, (h,) = _scan(step, inputs, (state,), mask)
    return outputs, h


def _scan(step, inputs, states, mask):
    def masked(states, x_and_valid):
        x, valid = x_and_valid
        new = step(states, x.astype(jnp.float32))
        if valid is not None:
            new = tuple(jnp.where(valid[:, None], a, b) for a, b in zip(new, states, strict=True))
        return new, new[0].astype(inputs.dtype)

    times = (jnp.swapaxes(inputs, 0, 1), None if mask is None else mask.T)
    states, outputs = lax.scan(masked, tuple(s.astype(jnp.float32) for s in states), times)
    return jnp.swapaxes(outputs, 0, 1), states


def _product(h, weights, dtype):
    dtype = product_dtype(dtype)
    return jnp.matmul(h.astype(dtype), weights.astype(dtype), preferred_element_type=jnp.float32)
