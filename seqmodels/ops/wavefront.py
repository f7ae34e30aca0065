"""Recurrences that aren't linear, where devices hold parts of the positions.

A part can't begin before the one before it has ended, so rows are cut into m micro-batches: part p
works on micro-batch j at tick p + j, and sends the states at its end on. The backward pass is the
same from the last part to the first. Of n + m - 1 ticks each part works in m, and lets the others
pass: with as many micro-batches as parts it waits almost half the time, and with a single row, of
which nothing else can be made, parts follow one another.

What is kept for the backward pass are inputs and the states before each part; it runs a micro-batch
again for the rest, which is a forward pass more, and has the rest of one micro-batch at a time.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Bool, Float, PyTree
from seqmodels.ops.by_parts import POSITIONS, ROWS, WHOLE, by_parts, shares
from seqmodels.ops.exchange import AXIS, of_last, only_first, passed, place, plus

Run = Callable[[Any, Any, Any, Any], tuple[Any, Any]]
"""``outputs, last = run(inputs, valid, states, weights)``."""


def in_wavefront(
    run: Run,
    inputs: Float[Array, "B L *rest"],
    valid: Bool[Array, "B L"] | None,
    states: PyTree[Array],
    weights: PyTree[Array],
) -> tuple[Any, Any]:
    """``run(inputs, valid, states, weights)``, by devices that have a part of the positions each.

    States are [B, ...]. Of lengths that the parts don't divide each device runs all, of its rows.
    """
    rows, length = inputs.shape[:2]

    def of_part(inputs: Any, valid: Any, states: Any, weights: Any) -> tuple[Any, Any]:
        count = _micro_batches(len(inputs))

        def cut(x: Array) -> Array:
            return x.reshape(count, -1, *x.shape[1:])

        given = jax.tree.map(cut, (inputs, valid, only_first(states)))
        made = _run_part(run, *given, weights)
        outputs, last = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), made)
        return outputs, of_last(last)

    specs = (POSITIONS, POSITIONS, ROWS, WHOLE), (POSITIONS, ROWS)
    if shares("sequence", length) > 1:
        return by_parts(of_part, (rows, length), *specs)(inputs, valid, states, weights)
    return by_parts(run, (rows,), *specs)(inputs, valid, states, weights)


def _micro_batches(rows: int) -> int:
    """As many as divide them, up to the parts."""
    return max(m for m in range(1, lax.axis_size(AXIS) + 1) if rows % m == 0)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _run_part(run, inputs, valid, begin, weights):
    """A part's outputs and last states of all micro-batches, [m, B, ...].

    ``begin`` is 0 but in the first part.
    """
    return _forward(run, inputs, valid, begin, weights)[0]


def _forward(run, inputs, valid, begin, weights):
    def work(number, before):
        x, real, start = _of((inputs, valid, begin), number)
        first = plus(start, before)
        outputs, last = run(x, real, first, weights)
        return last, (outputs, first, last), ()

    (outputs, firsts, last), _ = _ticks(work, begin)
    return (outputs, last), (inputs, valid, firsts, weights)


def _backward(run, kept, gradients):
    inputs, valid, firsts, weights = kept

    def work(number, after):
        x, real, first, d_outputs, d_last = _of((inputs, valid, firsts, *gradients), number)

        def again(x, first, weights):
            return run(x, real, first, weights)

        _, pull = jax.vjp(again, x, first, weights)
        d_x, d_first, d_weights = pull((d_outputs, plus(d_last, after)))
        return d_first, (d_x, d_first), d_weights

    (d_inputs, d_begin), d_weights = _ticks(work, firsts, back=True)
    return d_inputs, None, d_begin, d_weights


_run_part.defvjp(_forward, _backward)


def _ticks(work, states, back=False):
    """``state, made, added = work(number, state)`` at each tick: all made [m, B, ...], and the sum.

    The state that work gets is what the part before sent, or after it with ``back``; 0 where there
    is none. Where a part waits nothing is computed.
    """
    count = len(jax.tree.leaves(states)[0])
    before = place(back)
    none = jax.tree.map(jnp.zeros_like, _of(states, 0))
    shapes = jax.eval_shape(work, 0, none)
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    _, made, total = nothing
    made = jax.tree.map(lambda x: jnp.zeros((count, *x.shape), x.dtype), made)

    def tick(t, carry):
        state, made, total = carry
        number = jnp.clip(t - before, 0, count - 1)
        works = number == t - before
        state, new, added = lax.cond(works, work, lambda *_: nothing, number, state)
        made = jax.tree.map(partial(_put, works, number), made, new)
        return passed(state, back=back), made, plus(total, added)

    ticks = count + lax.axis_size(AXIS) - 1
    _, made, total = lax.fori_loop(0, ticks, tick, (none, made, total))
    return made, total


def _of(x, number):
    """A micro-batch's."""
    return jax.tree.map(lambda a: lax.dynamic_index_in_dim(a, number, keepdims=False), x)


def _put(works, number, whole, new):
    """Among all, where the part has worked."""
    new = jnp.where(works, new, lax.dynamic_index_in_dim(whole, number, keepdims=False))
    return lax.dynamic_update_index_in_dim(whole, new, number, 0)
