"""A step after another, with a backward pass that keeps a state a chunk."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, PyTree

Step = Callable[[Any, Array, Any], tuple[Array, Array]]


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def run_steps(
    step: Step, chunk: int, weights: PyTree[Array], state: Array, inputs: PyTree[Array]
) -> tuple[Array, PyTree[Array]]:
    """``state, output_t = step(weights, state, input_t)`` for all t: the last state, all outputs.

    Inputs and outputs have L as their first axis; weights are those of every step. The backward
    pass keeps the inputs and the states before every ``chunk`` positions or fewer, makes those
    between again, a chunk at a time, and carries the state's gradient from the end: memory is
    linear in L, L / chunk states beside the inputs, where ``lax.scan`` keeps L. Inputs of zeros
    must leave the state as it is.
    """
    return lax.scan(partial(step, weights), state, inputs)


def _forward(step, chunk, weights, state, inputs):
    length = len(jax.tree.leaves(inputs)[0])
    chunks = max(-(-length // chunk), 1)
    inputs = jax.tree.map(partial(_in_chunks, chunks=chunks), inputs)

    def of_chunk(state, inputs):
        after, outputs = lax.scan(partial(step, weights), state, inputs)
        return after, (state, outputs)

    last, (starts, outputs) = lax.scan(of_chunk, state, inputs)
    outputs = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:length], outputs)
    return (last, outputs), (weights, starts, inputs)


def _backward(step, chunk, kept, gradients):
    weights, starts, inputs = kept
    d_last, d_outputs = gradients
    length, chunks = len(jax.tree.leaves(d_outputs)[0]), len(starts)
    d_outputs = jax.tree.map(partial(_in_chunks, chunks=chunks), d_outputs)

    def of_chunk(gradients, given):
        start, inputs, d_outputs = given
        _, before = lax.scan(lambda state, x: (step(weights, state, x)[0], state), start, inputs)

        def back(gradients, given):
            d_weights, d_state = gradients
            before, x, d_output = given
            _, pull = jax.vjp(step, weights, before, x)
            more, d_state, d_x = pull((d_state, d_output))
            return (jax.tree.map(jnp.add, d_weights, more), d_state), d_x

        return lax.scan(back, gradients, (before, inputs, d_outputs), reverse=True)

    gradients = jax.tree.map(jnp.zeros_like, weights), d_last
    gradients, d_inputs = lax.scan(of_chunk, gradients, (starts, inputs, d_outputs), reverse=True)
    return *gradients, jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:length], d_inputs)


run_steps.defvjp(_forward, _backward)


def _in_chunks(x, chunks):
    """[L, ...] as so many chunks of equal length, zeros at the end."""
    size = -(-len(x) // chunks)
    padded = jnp.pad(x, ((0, chunks * size - len(x)), *[(0, 0)] * (x.ndim - 1)))
    return padded.reshape(chunks, size, *x.shape[1:])
