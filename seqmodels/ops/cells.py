"""The cells of recurrent networks: a step and its gradient, written by hand."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array

States = tuple[Array, ...]
"""A cell's states [B, D]; the first is h."""


class Cell(NamedTuple):
    """A step and its gradient, on float32 rows [B, ...] of one position.

    ``forward(x, product, bias, states) -> states, kept``: the product is h_{t-1} U. The
    rows kept for the backward pass are as many as ``kept`` says. The first is as
    wide as x, and replaces it.

    ``backward(gradients, kept, h, previous_h) -> gradients, d_product, rows``: takes the
    gradients of the states after the step and returns those of the states before it,
    without the path through the product. Of the rows, the first is the gradient of
    x; a second, in a cell with a bias, is that of the product's last D columns where
    it is not x's.
    """

    forward: Callable[..., tuple[States, States]]
    backward: Callable[..., tuple[States, Array, States]]
    kept: int


def _tanh_forward(x, product, bias, states):
    return (jnp.tanh(x + product),), ()


def _tanh_backward(gradients, kept, h, previous_h):
    d_x = gradients[0] * (1 - h * h)
    return (jnp.zeros_like(h),), d_x, (d_x,)


def _relu_forward(x, product, bias, states):
    return (jax.nn.relu(x + product),), ()


def _relu_backward(gradients, kept, h, previous_h):
    d_x = jnp.where(h > 0, gradients[0], 0)
    return (jnp.zeros_like(h),), d_x, (d_x,)


def _lstm_forward(x, product, bias, states):
    _, previous_c = states
    # sigmoid(a) = tanh(a / 2) / 2 + 1 / 2: one pass over four gates instead of four.
    scale = jnp.repeat(jnp.array([0.5, 0.5, 1.0, 0.5]), x.shape[1] // 4)[None]
    gates = scale * jnp.tanh(scale * (x + product)) + (1 - scale)
    i, f, g, o = jnp.split(gates, 4, axis=1)
    c = f * previous_c + i * g
    return (o * jnp.tanh(c), c), (gates, previous_c)


def _lstm_backward(gradients, kept, h, previous_h):
    d_h, d_c = gradients
    gates, previous_c = kept
    i, f, g, o = jnp.split(gates, 4, axis=1)
    tanh_c = jnp.tanh(f * previous_c + i * g)
    d_c = d_c + d_h * o * (1 - tanh_c * tanh_c)
    d_h, d_c = lax.optimization_barrier((d_h, d_c))  # or every gate computes them again
    d_i = d_c * g * i * (1 - i)
    d_f = d_c * previous_c * f * (1 - f)
    d_g = d_c * i * (1 - g * g)
    d_o = d_h * tanh_c * o * (1 - o)
    d_x = jnp.concatenate([d_i, d_f, d_g, d_o], axis=1)
    return (jnp.zeros_like(d_h), d_c * f), d_x, (d_x,)


def _gru_forward(x, product, bias, states):
    (previous_h,) = states
    D = previous_h.shape[1]
    gates = 0.5 * jnp.tanh(0.5 * (x[:, : 2 * D] + product[:, : 2 * D])) + 0.5
    r, z = jnp.split(gates, 2, axis=1)
    u = product[:, 2 * D :] + bias[None]
    n = jnp.tanh(x[:, 2 * D :] + r * u)
    return (n + z * (previous_h - n),), (jnp.concatenate([gates, n], axis=1), u)


def _gru_backward(gradients, kept, h, previous_h):
    (d_h,) = gradients
    gates, u = kept
    r, z, n = jnp.split(gates, 3, axis=1)
    d_n = d_h * (1 - z) * (1 - n * n)
    d_r = d_n * u * r * (1 - r)
    d_z = d_h * (previous_h - n) * z * (1 - z)
    d_x = jnp.concatenate([d_r, d_z, d_n], axis=1)
    d_product = jnp.concatenate([d_r, d_z, d_n * r], axis=1)
    return (d_h * z,), d_product, (d_x, d_n * r)


SIMPLE = {
    "tanh": Cell(_tanh_forward, _tanh_backward, kept=0),
    "relu": Cell(_relu_forward, _relu_backward, kept=0),
}
LSTM = Cell(_lstm_forward, _lstm_backward, kept=2)
GRU = Cell(_gru_forward, _gru_backward, kept=2)
