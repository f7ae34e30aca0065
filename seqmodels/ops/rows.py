"""Products of many small matrices and vectors, of each row a pair: rows R are the last axis.

On CPU XLA computes a batch of small products one by one, by calls that cost more than the
arithmetic. With rows as the last axis all of it is elementwise, and vectorised, but for sums over
the axes before it, which XLA would run as loops of scalars: so their terms are written out here.
That makes steps of a recurrence two to five times as fast. Fences keep XLA from computing a sum
again for each element that reads it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Float, PyTree
from seqmodels.ops.stepwise import Step, run_steps

KEPT = 16
"""Positions between the states that are kept for the backward pass: with more of them the states
between, which are made again, outgrow a core's cache."""


def rows_last(x: Float[Array, "..."], before: int = 0) -> Float[Array, "..."]:
    """[..., B, H, *K] as [..., *K, R], where B has so many axes before it."""
    moved = jnp.moveaxis(x, (before, before + 1), (-2, -1))
    return moved.reshape(*moved.shape[:-2], -1)


def rows_first(x: Float[Array, "*K R"], heads: int) -> Float[Array, "B H *K"]:
    """The other way, of what has no axes before it."""
    return jnp.moveaxis(x.reshape(*x.shape[:-1], -1, heads), (-2, -1), (0, 1))


def by_time(inputs: PyTree[Array]) -> PyTree[Array]:
    """Positions [B, L, H, *K] as steps [L, *K, R] of rows R = B H; [B, L, H] as [L, 1, R]."""
    return jax.tree.map(
        lambda x: rows_last(jnp.swapaxes(x if x.ndim > 3 else x[..., None], 0, 1), 1), inputs
    )


def in_steps(
    step: Step, state: Float[Array, "B H K U"], inputs: PyTree[Array]
) -> tuple[Float[Array, "B L H U"], Float[Array, "B H K U"]]:
    """The outputs [L, U, R] of steps on states [K, U, R] for all positions, and the last state."""
    heads = state.shape[1]
    last, outputs = run_steps(step, KEPT, (), rows_last(state), inputs)
    outputs = outputs.reshape(*outputs.shape[:2], -1, heads)  # [L, U, B, H]
    return jnp.transpose(outputs, (2, 0, 3, 1)), rows_first(last, heads)


def norms_in_steps(
    write: Callable[[Array, Any], Array], state: Float[Array, "B H K U"], inputs: PyTree[Array]
) -> Float[Array, "B L H"]:
    """The Frobenius norm of the state after each step ``state = write(state, input_t)``."""

    def step(state, given):
        state = write(state, given)
        return state, jnp.sqrt(jnp.sum(state * state, axis=(0, 1)))

    _, norms = lax.scan(step, rows_last(state), inputs)  # [L, R]
    return jnp.swapaxes(norms.reshape(len(norms), *state.shape[:2]), 0, 1)


def _total(terms: list[Array]) -> Array:
    """Their sum, by pairs of pairs: no chain of additions that wait for each other."""
    while len(terms) > 1:
        left = [terms[-1]] if len(terms) % 2 else []
        terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)] + left
    return lax.optimization_barrier(terms[0])


def _over_keys(matrix, keys):
    return _total([matrix[k] * keys[k][None] for k in range(len(matrix))])


def _over_values(matrix, values):
    return _total([matrix[:, u] * values[u][None] for u in range(matrix.shape[1])])


@jax.custom_vjp
def read(matrix: Float[Array, "K U R"], query: Float[Array, "K R"]) -> Float[Array, "U R"]:
    """``S^T q``."""
    return _over_keys(matrix, query)


def _read_forward(matrix, query):
    return read(matrix, query), (matrix, query)


def _read_backward(kept, gradient):
    matrix, query = kept
    return query[:, None] * gradient[None], _over_values(matrix, gradient)


read.defvjp(_read_forward, _read_backward)


@jax.custom_vjp
def outer(key: Float[Array, "K R"], value: Float[Array, "U R"]) -> Float[Array, "K U R"]:
    """``k v^T``."""
    return key[:, None] * value[None]


def _outer_forward(key, value):
    return outer(key, value), (key, value)


def _outer_backward(kept, gradient):
    key, value = kept
    return _over_values(gradient, value), _over_keys(gradient, key)


outer.defvjp(_outer_forward, _outer_backward)


def decayed(matrix: Float[Array, "K U R"], log_decay: Array | None) -> Float[Array, "K U R"]:
    """The matrices times their rows' decays [K, R], or each matrix times one [1, R]."""
    return matrix if log_decay is None else _scaled(matrix, fenced(jnp.exp(log_decay)))


@jax.custom_vjp
def _scaled(matrix, decay):
    return matrix * decay[:, None]


def _scaled_forward(matrix, decay):
    return _scaled(matrix, decay), (matrix, decay)


def _scaled_backward(kept, gradient):
    matrix, decay = kept
    by_key = _total([matrix[:, u] * gradient[:, u] for u in range(matrix.shape[1])])
    if len(decay) == 1:
        by_key = _total(list(by_key))[None]
    return gradient * decay[:, None], by_key


_scaled.defvjp(_scaled_forward, _scaled_backward)


def fenced(x: Array) -> Array:
    """The same, computed once; and so is its gradient."""
    return lax.optimization_barrier(x)
