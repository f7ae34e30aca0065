"""Recurrences over time, on inputs that are projected already.

Each has a plain reference, which is what it computes, and a fast form with a derivative
by hand: the forward pass keeps the gates, the backward pass runs the steps in reverse
and leaves the gradient of the recurrent weights to one product after the loop.
Autodiff would accumulate that gradient, as large as the weights, at every step.

Where ``mask`` is False the state is carried unchanged. States and the arithmetic of a
step are float32; the products with the recurrent weights have the dtype of the inputs.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from seqmodels.arrays import Array, Bool, Float, State

Activation = Literal["tanh", "relu"]


class _Cell(NamedTuple):
    """One step forward and one step back; the first part of a carry is the hidden state h."""

    forward: Callable[..., tuple[Any, Any]]
    """(x_t, h_{t-1} U, bias, carry) to (next carry, what the step back needs of this one)."""
    backward: Callable[..., tuple[Any, Any, Any]]
    """(kept, carry before, carry after, gradient of the carry after) to the gradients of
    x_t, of h_{t-1} U (None where they are the same), and of the carry before, but for the
    part through h_{t-1} U."""


def _rnn_cell(activation: Activation) -> _Cell:
    f = {"tanh": jnp.tanh, "relu": jax.nn.relu}[activation]

    def forward(x, product, bias, carry):
        return (f(x + product),), ()

    def backward(kept, before, after, gradient):
        (h,), (dh,) = after, gradient
        dx = dh * (1 - h * h) if activation == "tanh" else jnp.where(h > 0, dh, 0.0)
        return dx, None, (jnp.zeros_like(dh),)

    return _Cell(forward, backward)


def _is_tanh_gate(gates: Float[Array, "B G"]) -> Float[Array, "1 G"]:
    """1 where a gate of an LSTM is g, the one that is a tanh; 0 where it is a sigmoid."""
    width = gates.shape[-1] // 4
    return (jnp.arange(4 * width) // width == 2).astype(jnp.float32)[None]


def _lstm_forward(x, product, bias, carry):
    # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2: one tanh makes all four gates as one array.
    scale = (1 + _is_tanh_gate(x)) / 2
    gates = scale * jnp.tanh(scale * (x + product)) + (1 - scale)
    # Without the barrier XLA computes each tanh again for every use of it.
    gates = jax.lax.optimization_barrier(gates)
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    c = f * carry[1] + i * g
    return (o * jnp.tanh(c), c), gates


def _lstm_backward(kept, before, after, gradient):
    i, f, g, o = jnp.split(kept, 4, axis=-1)
    (_, c_before), (_, c), (dh, dc) = before, after, gradient
    tanh_c = jnp.tanh(c)
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    d_gates = jnp.concatenate([dc * g, dc * c_before, dc * i, dh * tanh_c], axis=-1)
    # The derivative of a gate a is a (1 - a) for a sigmoid and (1 + a) (1 - a) for the tanh.
    dx = d_gates * (1 - kept) * (kept + _is_tanh_gate(kept))
    return dx, None, (jnp.zeros_like(dh), dc * f)


def _gru_forward(x, product, bias, carry):
    (x_r, x_z, x_n), (h_r, h_z, h_n) = jnp.split(x, 3, axis=-1), jnp.split(product, 3, axis=-1)
    r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    h_n = h_n + bias
    n = jnp.tanh(x_n + r * h_n)
    return ((1 - z) * n + z * carry[0],), jnp.concatenate([r, z, n, h_n], axis=-1)


def _gru_backward(kept, before, after, gradient):
    r, z, n, h_n = jnp.split(kept, 4, axis=-1)
    (h_before,), (dh,) = before, gradient
    dn = dh * (1 - z) * (1 - n * n)
    dr = dn * h_n * r * (1 - r)
    dz = dh * (h_before - n) * z * (1 - z)
    d_x = jnp.concatenate([dr, dz, dn], axis=-1)
    d_product = jnp.concatenate([dr, dz, dn * r], axis=-1)
    return d_x, d_product, (dh * z,)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _run(cell: _Cell, inputs, weights, bias, carry, mask):
    """Steps through inputs [L, B, G] from a carry; returns every h [L, B, D] and the last carry."""
    return _run_forward(cell, inputs, weights, bias, carry, mask)[0]


def _run_forward(cell: _Cell, inputs, weights, bias, carry, mask):
    dtype = inputs.dtype
    cast = weights.astype(dtype)

    def step(carry, x_and_valid):
        x, valid = x_and_valid
        after, kept = cell.forward(x.astype(jnp.float32), _product(carry[0], cast), bias, carry)
        after = _where(valid, after, carry)
        return after, jax.tree.map(lambda a: a.astype(dtype), (after, kept))

    last, (carries, kept) = jax.lax.scan(step, carry, (inputs, mask))
    return (carries[0], last), (weights, bias, carry, mask, carries, kept)


def _run_backward(cell: _Cell, residuals, gradients):
    weights, bias, first, mask, carries, kept = residuals
    d_outputs, d_last = gradients
    dtype = d_outputs.dtype
    transposed = weights.astype(dtype).T
    befores = jax.tree.map(
        lambda a, b: jnp.concatenate([a.astype(dtype)[None], b[:-1]]), first, carries
    )

    def step(d_carry, this):
        d_output, valid, before, after, kept = this
        d_carry = (d_carry[0] + d_output.astype(jnp.float32), *d_carry[1:])
        exact = jax.tree.map(lambda a: a.astype(jnp.float32), (kept, before, after))
        dx, d_product, d_before = cell.backward(*exact, d_carry)
        through = _product(dx if d_product is None else d_product, transposed)
        d_before = _where(valid, (d_before[0] + through, *d_before[1:]), d_carry)
        d_inputs = (dx,) if d_product is None else (dx, d_product)
        d_inputs = _where(valid, d_inputs, jax.tree.map(jnp.zeros_like, d_inputs))
        return d_before, jax.tree.map(lambda a: a.astype(dtype), d_inputs)

    d_first, d_inputs = jax.lax.scan(
        step, d_last, (d_outputs, mask, befores, carries, kept), reverse=True
    )
    dx, d_product = d_inputs[0], d_inputs[-1]
    flat = lambda a: a.reshape(-1, a.shape[-1])  # noqa: E731
    d_weights = jax.lax.dot_general(
        flat(befores[0]),
        flat(d_product),
        (((0,), (0,)), ((), ())),
        preferred_element_type=jnp.float32,
    )
    d_bias = None
    if bias is not None:
        width = bias.shape[-1]
        d_bias = jnp.sum(flat(d_product)[:, -width:], axis=0, dtype=jnp.float32)[None]
    return dx, d_weights.astype(weights.dtype), d_bias, d_first, None


_run.defvjp(_run_forward, _run_backward)


def _product(h: Float[Array, "B D"], weights: Float[Array, "D G"]) -> Float[Array, "B G"]:
    return jnp.dot(h.astype(weights.dtype), weights, preferred_element_type=jnp.float32)


def _where(valid: Bool[Array, "B"] | None, new: State, old: State) -> State:
    if valid is None:
        return new
    return jax.tree.map(lambda a, b: jnp.where(valid[:, None], a, b), new, old)


def _run_reference(cell: _Cell, inputs, weights, bias, carry, mask):
    """:func:`_run` with the derivative left to autodiff."""

    def step(carry, x_and_valid):
        x, valid = x_and_valid
        product = _product(carry[0], weights.astype(x.dtype))
        after, _ = cell.forward(x.astype(jnp.float32), product, bias, carry)
        after = _where(valid, after, carry)
        return after, after[0].astype(x.dtype)

    last, outputs = jax.lax.scan(step, carry, (inputs, mask))
    return outputs, last


def _recur(run: Callable, cell: _Cell, inputs, weights, bias, carry, mask):
    """Runs over inputs [B, L, G], of which the loop wants the time first."""
    carry = jax.tree.map(lambda a: a.astype(jnp.float32), carry)
    valid = None if mask is None else mask.T
    outputs, last = run(cell, jnp.swapaxes(inputs, 0, 1), weights, bias, carry, valid)
    return jnp.swapaxes(outputs, 0, 1), last


_CELLS = {
    "tanh": _rnn_cell("tanh"),
    "relu": _rnn_cell("relu"),
    "lstm": _Cell(_lstm_forward, _lstm_backward),
    "gru": _Cell(_gru_forward, _gru_backward),
}


def simple_rnn(
    inputs: Float[Array, "B L D"],
    weights: Float[Array, "D D"],
    state: Float[Array, "B D"],
    mask: Bool[Array, "B L"] | None = None,
    activation: Activation = "tanh",
    run: Callable = _run,
) -> tuple[Float[Array, "B L D"], Float[Array, "B D"]]:
    """``h_t = f(x_t + h_{t-1} U)`` (Elman 1990); returns every h, and the last in float32."""
    outputs, (h,) = _recur(run, _CELLS[activation], inputs, weights, None, (state,), mask)
    return outputs, h


def lstm(
    inputs: Float[Array, "B L G"],
    weights: Float[Array, "D G"],
    state: tuple[Float[Array, "B D"], Float[Array, "B D"]],
    mask: Bool[Array, "B L"] | None = None,
    run: Callable = _run,
) -> tuple[Float[Array, "B L D"], tuple[Float[Array, "B D"], Float[Array, "B D"]]]:
    """``i, f, g, o = split(x_t + h_{t-1} U)``, gates in PyTorch's order, G = 4D.

    ``c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)``, ``h_t = sigmoid(o) tanh(c_t)``
    (Gers et al. 2000). Returns every h, and the last (h, c) in float32.
    """
    return _recur(run, _CELLS["lstm"], inputs, weights, None, state, mask)


def gru(
    inputs: Float[Array, "B L G"],
    weights: Float[Array, "D G"],
    bias: Float[Array, "D"],
    state: Float[Array, "B D"],
    mask: Bool[Array, "B L"] | None = None,
    run: Callable = _run,
) -> tuple[Float[Array, "B L D"], Float[Array, "B D"]]:
    """Gates r, z, n in PyTorch's order and by its equations, G = 3D (Cho et al. 2014).

    ``r, z = sigmoid(x + h_{t-1} U)``, ``n = tanh(x_n + r (h_{t-1} U_n + bias))``,
    ``h_t = (1 - z) n + z h_{t-1}``. Returns every h, and the last in float32.
    """
    row = bias.astype(jnp.float32)[None]
    outputs, (h,) = _recur(run, _CELLS["gru"], inputs, weights, row, (state,), mask)
    return outputs, h


simple_rnn_reference = partial(simple_rnn, run=_run_reference)
lstm_reference = partial(lstm, run=_run_reference)
gru_reference = partial(gru, run=_run_reference)
