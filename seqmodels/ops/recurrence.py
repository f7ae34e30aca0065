"""Recurrent networks in time: simple RNN, LSTM and GRU, on inputs that are projected already.

    h_t, ... = step(x_t, h_{t-1} U, h_{t-1}, ...)        t = 1 ... L

``inputs`` holds x for all positions: the projection and its bias are one product
before the loop, and the caller's. G is its width: D, 4D or 3D. Where the mask is
False the state is carried unchanged and the output is the carried h, so padding
anywhere leaves every valid position alone. State and sums are float32; products
and what the backward pass keeps have the dtype of ``inputs``.

Forms by Newton's method (:mod:`seqmodels.ops.newton`) compute all positions at once. "steps",
which is taken where none is named, has a backward pass written by hand
(:mod:`seqmodels.ops.cells`), whose time is that of the products and little else:

- It works in place. What a step keeps for the backward pass, its gates, replaces
  the inputs that it read, and the gradient of the inputs replaces the gates: one
  array [B, L, G] where there would be three. On CPU a fresh array costs more than
  the arithmetic done on it. Making time the first axis would be one more.
- U's gradient, sum_t h_{t-1}^T dp_t, is a product after the loop.
"""

from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Bool, Float
from seqmodels.observing import observe
from seqmodels.ops import newton
from seqmodels.ops.by_parts import is_part
from seqmodels.ops.cells import GRU, LSTM, SIMPLE
from seqmodels.ops.forms import Form, Operation
from seqmodels.ops.platform import platform
from seqmodels.ops.wavefront import in_wavefront


def simple_rnn(
    inputs: Float[Array, "B L D"],
    weights: Float[Array, "D D"],
    state: Float[Array, "B D"],
    mask: Bool[Array, "B L"] | None = None,
    activation: Literal["tanh", "relu"] = "tanh",
    form: str | None = None,
) -> tuple[Float[Array, "B L D"], Float[Array, "B D"]]:
    """``h_t = f(x_t + h_{t-1} U)``; returns every h, and the last in float32 (Elman 1990)."""
    outputs, (h,) = _run(SIMPLE[activation], inputs, weights, None, (state,), mask, form)
    return outputs, h


def lstm(
    inputs: Float[Array, "B L G"],
    weights: Float[Array, "D G"],
    state: tuple[Float[Array, "B D"], Float[Array, "B D"]],
    mask: Bool[Array, "B L"] | None = None,
    form: str | None = None,
) -> tuple[Float[Array, "B L D"], tuple[Float[Array, "B D"], Float[Array, "B D"]]]:
    """``c_t = f c_{t-1} + i g``, ``h_t = o tanh(c_t)``; every h, and the last (h, c) in float32.

    ``i, f, g, o = split(x_t + h_{t-1} U)`` (PyTorch's order) through a sigmoid, g
    through tanh (Hochreiter and Schmidhuber 1997; Gers et al. 2000).
    """
    outputs, (h, c) = _run(LSTM, inputs, weights, None, state, mask, form)
    return outputs, (h, c)


def gru(
    inputs: Float[Array, "B L G"],
    weights: Float[Array, "D G"],
    bias: Float[Array, "D"],
    state: Float[Array, "B D"],
    mask: Bool[Array, "B L"] | None = None,
    form: str | None = None,
) -> tuple[Float[Array, "B L D"], Float[Array, "B D"]]:
    """``h_t = (1 - z) n + z h_{t-1}``; returns every h, and the last in float32.

    ``r, z = sigmoid(x_t + h_{t-1} U)``, ``n = tanh(x_t + r (h_{t-1} U + bias))``, each
    with its third of x and U in the order r, z, n: PyTorch's GRU, which resets after
    the product (Cho et al. 2014 resets before it).
    """
    outputs, (h,) = _run(GRU, inputs, weights, bias, (state,), mask, form)
    return outputs, h


def _run(cell, inputs, weights, bias, states, mask, form):
    states = tuple(state.astype(jnp.float32) for state in states)
    return RECURRENCE(cell, inputs, weights, bias, states, mask, form=form)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _recur(cell, inputs, weights, bias, states, mask):
    return _forward(cell, inputs, weights, bias, states, mask)[0]


def _forward(cell, inputs, weights, bias, states, mask):
    matrix = weights.astype(_product_dtype(inputs.dtype))

    def step(t, states, rows):
        new, kept = cell.forward(rows[0], _product(states[0], matrix), bias, states)
        new = _where_valid(mask, t, new, states)
        return new, (*kept, new[0])

    empty = lax.empty((*inputs.shape[:2], weights.shape[0]), inputs.dtype)  # filled row by row
    last, (*kept, outputs) = _loop_in_place(step, states, (inputs, *[empty] * cell.kept))
    return (outputs, last), (kept, outputs, weights, bias, states, mask)


def _backward(cell, residuals, gradients):
    kept, outputs, weights, bias, states, mask = residuals
    d_outputs, d_last = gradients
    matrix = weights.astype(_product_dtype(outputs.dtype)).T

    def step(t, gradients, rows):
        *kept, d_output = rows
        gradients = (gradients[0] + d_output, *gradients[1:])
        nothing = tuple(jnp.zeros_like(gradient) for gradient in gradients)
        h = _row(outputs, t)
        previous_h = jnp.where(t == 0, states[0], _row(outputs, jnp.maximum(t - 1, 0)))
        new, d_product, rows = cell.backward(
            _where_valid(mask, t, gradients, nothing), kept, h, previous_h
        )
        new = (new[0] + _product(d_product, matrix), *new[1:])
        return _where_valid(mask, t, new, gradients), rows

    d_states, buffers = _loop_in_place(step, d_last, (*kept, d_outputs), reverse=True)
    d_inputs = buffers[0]
    if bias is None:
        d_weights, d_bias = _weight_gradient(states[0], outputs, d_inputs), None
    else:
        width = d_inputs.shape[2] - bias.shape[0]
        d_weights = jnp.concatenate(
            [
                _weight_gradient(states[0], outputs, d_inputs[:, :, :width]),
                _weight_gradient(states[0], outputs, buffers[1]),
            ],
            axis=1,
        )
        d_bias = buffers[1].sum((0, 1), dtype=jnp.float32).astype(bias.dtype)
    return d_inputs, d_weights.astype(weights.dtype), d_bias, d_states, None


_recur.defvjp(_forward, _backward)


def _by_newton(kind: newton.Linearisation) -> Form:
    """All positions at once, by rounds of a linear recurrence; the backward pass of the steps, or
    with whole Jacobians another linear recurrence.
    """

    @partial(jax.custom_vjp, nondiff_argnums=(0,))
    def solve(cell, inputs, weights, bias, states, mask):
        return forward(cell, inputs, weights, bias, states, mask)[0]

    def forward(cell, inputs, weights, bias, states, mask):
        problem = (cell, inputs, weights, bias, states, mask)
        made, rounds = newton.solve(problem, kind)
        last = newton.split(made[:, -1], len(states))
        outputs = made[..., : weights.shape[0]].astype(inputs.dtype)
        return (outputs, last, rounds), (inputs, weights, bias, states, mask, made)

    def backward(cell, residuals, gradients):
        *rest, made = residuals
        problem, (d_outputs, d_last, _) = (cell, *rest), gradients
        if kind == "newton":
            return newton.gradients(problem, made, d_outputs, d_last)
        inputs, weights, bias, states, mask = rest
        kept = newton.kept_rows(problem, made)
        outputs = made[..., : weights.shape[0]].astype(inputs.dtype)
        saved = (kept, outputs, weights, bias, states, mask)
        return _backward(cell, saved, (d_outputs, d_last))

    solve.defvjp(forward, backward)

    def run(*problem):
        outputs, last, rounds = solve(*problem)
        if not is_part():  # each part has rounds of its own
            observe("rounds", rounds)
        return outputs, last

    refusal = newton.refusal if kind == "newton" else lambda *_: None
    return Form(run, refusal=refusal, suits=lambda *_: False)


def _across(run, cell, inputs, weights, bias, states, mask):
    """In a wavefront, or by rows.

    A form by Newton's method computes all positions of a part at once.
    """

    def again(inputs, mask, states, weights):
        return run(cell, inputs, *weights, states, mask)

    return in_wavefront(again, inputs, mask, states, (weights, bias))


RECURRENCE = Operation(
    "recurrence",
    {
        **{kind: _by_newton(kind) for kind in get_args(newton.Linearisation)},
        "steps": Form(_recur),
    },
    _across,
)
"""Of (cell, inputs, weights, bias, states, mask)."""


def _loop_in_place(step, carry, buffers, reverse=False):
    """``carry, rows = step(t, carry, rows)`` for all t; rows replace those of the first buffers.

    Step gets the buffers' rows at t in float32.
    """
    length = buffers[0].shape[1]

    def body(index, loop):
        carry, buffers = loop
        t = length - 1 - index if reverse else index
        # Takes the rows out before any is replaced. Otherwise XLA may read them from a
        # copy of the whole buffer, made at every step.
        rows = lax.optimization_barrier([_take(buffer, t) for buffer in buffers])
        carry, new = step(t, carry, [row.astype(jnp.float32) for row in rows])
        return carry, (*map(partial(_put, t=t), buffers, new), *buffers[len(new) :])

    return lax.fori_loop(0, length, body, (carry, tuple(buffers)))


def _take(buffer, t):
    return lax.dynamic_index_in_dim(buffer, t, 1, keepdims=False, allow_negative_indices=False)


def _row(buffer, t):
    return _take(buffer, t).astype(jnp.float32)


def _put(buffer, row, t):
    row = row.astype(buffer.dtype)[:, None]
    return lax.dynamic_update_slice(buffer, row, (0, t, 0), allow_negative_indices=False)


def _where_valid(mask, t, new, old):
    if mask is None:
        return new
    valid = _take(mask, t)[:, None]
    return tuple(jnp.where(valid, a, b) for a, b in zip(new, old, strict=True))


def _product_dtype(dtype: jnp.dtype) -> jnp.dtype:
    """What a step's product is computed in.

    On CPU float32, whatever the inputs: of a few rows it takes less time than bfloat16's.
    """
    return jnp.dtype("float32") if platform() == "cpu" else dtype


def _product(rows, matrix):
    return jnp.matmul(rows.astype(matrix.dtype), matrix, preferred_element_type=jnp.float32)


def _weight_gradient(h_0, outputs, d_product):
    """``sum_t h_{t-1}^T d_product_t`` over positions and batch, in float32.

    For bfloat16 the left factor is transposed before it is put together. XLA on CPU makes
    a plain transpose part of the product, and then computes a bfloat16 one in float32, from
    copies, in four times the time.
    """
    first = h_0.astype(outputs.dtype)[:, None]
    if outputs.dtype == jnp.bfloat16:
        parts = [x.transpose(2, 0, 1) for x in (first, outputs[:, :-1])]
        previous = jnp.concatenate(parts, axis=2).reshape(outputs.shape[2], -1)  # [D, B L]
    else:
        previous = jnp.concatenate([first, outputs[:, :-1]], axis=1)
        previous = previous.reshape(-1, outputs.shape[2]).T
    flat = d_product.reshape(-1, d_product.shape[2])
    return jnp.matmul(previous, flat, preferred_element_type=jnp.float32)
