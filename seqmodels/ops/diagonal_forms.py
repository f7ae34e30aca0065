"""Forms of ``h_t = a_t h_{t-1} + b_t`` with diagonal a, each with a backward pass written by hand.

Numbers are those of :mod:`seqmodels.ops.numbers`.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec

from seqmodels.ops.by_parts import POSITIONS
from seqmodels.ops.forms import Form, Operation
from seqmodels.ops.numbers import conjugate, in_padding, one_like, plus, product, times
from seqmodels.ops.platform import platform
from seqmodels.ops.summaries import NUMBERS, by_summaries

BLOCK = 64
"""Positions that the chunked form runs through one after the other."""
SHORT = 16
"""Up to so many positions are run through one by one on every machine."""


# One position after another. Both passes fill arrays row by row, and the gradient of the inputs
# replaces that of the outputs, which it read.


@jax.custom_vjp
def _sequential(decay, inputs, state, valid):
    return _sequential_forward(decay, inputs, state, valid)[0]


def _sequential_forward(decay, inputs, state, valid):
    def step(t, carry):
        state, outputs = carry
        new = plus(times(_rows(decay, t), state), _rows(inputs, t))
        state = _where_valid(valid, t, new, state)
        return state, _put(outputs, state, t)

    empty = tuple(lax.empty(inputs[0].shape, inputs[0].dtype) for _ in state)
    last, outputs = lax.fori_loop(0, inputs[0].shape[1], step, (state, empty))
    return (outputs, last), (decay, inputs, outputs, state, valid)


def _sequential_backward(residuals, gradients):
    decay, inputs, outputs, first, valid = residuals
    d_outputs, d_last = gradients
    length, parts = inputs[0].shape[1], len(inputs)
    is_one = decay[0].shape[1] == 1  # for all positions: its gradient is a sum

    def step(index, carry):
        gradient, d_decay, d_outputs = carry
        t = length - 1 - index
        # Before it is replaced; otherwise XLA may read it from a copy of the whole.
        rows = lax.optimization_barrier([_take(part, t) for part in d_outputs])
        total = plus(gradient, tuple(row.astype(jnp.float32) for row in rows))
        nothing = tuple(map(jnp.zeros_like, total))
        before = tuple(
            jnp.where(t == 0, start, row)
            for start, row in zip(first, _rows(outputs, jnp.maximum(t - 1, 0)), strict=True)
        )
        by_decay = _where_valid(valid, t, times(conjugate(before), total), nothing)
        d_decay = plus(d_decay, by_decay) if is_one else _put(d_decay, by_decay, t)
        d_outputs = _put(d_outputs, _where_valid(valid, t, total, nothing), t)
        new = times(conjugate(_rows(decay, t)), total)
        return _where_valid(valid, t, new, total), d_decay, d_outputs

    empty = tuple(map(jnp.zeros_like, first))
    if not is_one:
        empty = tuple(lax.empty(outputs[0].shape, jnp.float32) for _ in decay)
    d_state, d_decay, d_inputs = lax.fori_loop(0, length, step, (d_last, empty, d_outputs))
    if is_one:
        d_decay = tuple(part[:, None] for part in d_decay)
    return _sum_to(d_decay, decay), d_inputs[:parts], d_state, None


_sequential.defvjp(_sequential_forward, _sequential_backward)


def _take(part, t):
    return lax.dynamic_index_in_dim(part, t, 1, keepdims=False, allow_negative_indices=False)


def _rows(numbers, t):
    """Those of a position, or of the only one, in float32."""
    return tuple(
        (part[:, 0] if part.shape[1] == 1 else _take(part, t)).astype(jnp.float32)
        for part in numbers
    )


def _put(numbers, rows, t):
    return tuple(
        lax.dynamic_update_index_in_dim(
            part, row.astype(part.dtype), t, 1, allow_negative_indices=False
        )
        for part, row in zip(numbers, rows, strict=True)
    )


def _where_valid(valid, t, new, old):
    if valid is None:
        return new
    real = _take(valid, t).reshape(-1, *(1,) * (new[0].ndim - 1))
    return tuple(jnp.where(real, a, b) for a, b in zip(new, old, strict=True))


# Many positions at once. The backward pass is the same form on the reversed sequence:
# g_t = dh_t + conj(a_{t+1}) g_{t+1}.


def _in_parallel(run, decay, inputs, state, valid):
    """By ``run(decay, inputs, state)``, all h of float32 numbers without padding."""
    dtype = inputs[0].dtype
    decay = in_padding(decay, valid, (1.0, 0.0))
    exact = tuple(part.astype(jnp.float32) for part in in_padding(inputs, valid, (0.0, 0.0)))
    missing = len(state) - len(exact)
    h = _all_at_once(run, decay, (*exact, *map(jnp.zeros_like, exact[:missing])), state)
    return tuple(part.astype(dtype) for part in h), tuple(part[:, -1] for part in h)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _all_at_once(run, decay, inputs, state):
    return run(decay, inputs, state)


def _all_forward(run, decay, inputs, state):
    h = run(decay, inputs, state)
    return h, (decay, h, state)


def _all_backward(run, residuals, d_h):
    decay, h, state = residuals
    # The first of the reversed decays multiplies zeros.
    after = tuple(jnp.flip(jnp.roll(part, -1, axis=1), 1) for part in conjugate(decay))
    nothing = tuple(map(jnp.zeros_like, state))
    total = run(after, tuple(jnp.flip(part, 1) for part in d_h), nothing)
    total = tuple(jnp.flip(part, 1) for part in total)
    before = tuple(
        jnp.concatenate([start[:, None], part[:, :-1]], axis=1)
        for start, part in zip(state, h, strict=True)
    )
    d_decay = _sum_to(times(conjugate(before), total), decay)
    first, at_first = (tuple(part[:, 0] for part in numbers) for numbers in (decay, total))
    return d_decay, total, times(conjugate(first), at_first)


_all_at_once.defvjp(_all_forward, _all_backward)


def _associative(decay, inputs, state):
    """By pairs of pairs, ``(a, b) then (c, d) = (c a, c b + d)`` (Blelloch 1990)."""
    length = inputs[0].shape[1]
    from_state = times(tuple(part[:, 0] for part in decay), state)
    inputs = tuple(part.at[:, 0].add(row) for part, row in zip(inputs, from_state, strict=True))
    shape = (decay[0].shape[0], length, *decay[0].shape[2:])
    decay = tuple(jnp.broadcast_to(part, shape) for part in decay)

    def then(first, second):
        (a, b), (c, d) = first, second
        return times(c, a), plus(times(c, b), d)

    return lax.associative_scan(then, (decay, inputs), axis=1)[1]


def _chunked(decay, inputs, state):
    """All chunks side by side from zeros, then what their decays make of the states before them."""
    rows, length = inputs[0].shape[:2]
    size = min(BLOCK, length)
    count = math.ceil(length / size)

    def cut(part):
        """[C, B, chunks, D]: the positions of all chunks in turn."""
        if part.shape[1] == 1:
            return jnp.broadcast_to(part[None], (size, *part.shape))
        padded = jnp.pad(part, ((0, 0), (0, count * size - length), *((0, 0),) * (part.ndim - 2)))
        return jnp.moveaxis(padded.reshape(-1, count, size, *part.shape[2:]), 2, 0)

    def step(carry, given):
        (h, product), (a, b) = carry, given
        carry = plus(times(a, h), b), times(a, product)
        return carry, carry

    decay, inputs = (tuple(map(cut, numbers)) for numbers in (decay, inputs))
    nothing = tuple(jnp.zeros_like(part[0]) for part in inputs)
    one = tuple(jnp.full_like(part[0], one) for part, one in zip(decay, (1.0, 0.0), strict=False))
    (ends, products), (h, through) = lax.scan(step, (nothing, one), (decay, inputs))

    def chain(start, chunk):
        product, end = chunk
        return plus(times(product, start), end), start

    shape = (products[0].shape[0], count, *ends[0].shape[2:])
    turns = [
        tuple(jnp.moveaxis(part, 1, 0) for part in numbers)
        for numbers in (tuple(jnp.broadcast_to(part, shape) for part in products), ends)
    ]
    _, starts = lax.scan(chain, state, tuple(turns))
    starts = tuple(jnp.moveaxis(part, 0, 1)[None] for part in starts)
    h = plus(h, times(through, starts))
    return tuple(
        jnp.moveaxis(part, 0, 2).reshape(rows, count * size, *part.shape[3:])[:, :length]
        for part in h
    )


def _sum_to(numbers, like):
    """Sums over the axes of which others have one position."""
    axes = tuple(i for i, size in enumerate(like[0].shape) if size == 1)
    return tuple(jnp.sum(part, axis=axes, keepdims=True) for part in numbers)


def _one_by_one(decay, inputs, *rest):
    """On a CPU other forms take two to three times as long."""
    return platform() == "cpu" or inputs[0].shape[1] <= SHORT


def _across(run, decay, inputs, state, valid):
    """By summaries, or by rows.

    A decay that serves all positions is multiplied as the form does it, in a row of zeros: the
    form's roundings of the same number, P times, are not those of another order.
    """
    rows, length = inputs[0].shape[:2]

    def again(sequences, state, _):
        decay, inputs, valid = sequences
        return run(decay, inputs, state, valid)

    def summary(sequences, begin, _):
        decay, inputs, valid = sequences
        _, end = run(decay, inputs, begin, valid)
        if decay[0].shape[1] > 1:
            return product(decay, valid), end
        count = len(decay[0] if valid is None else valid)
        nothing = tuple(jnp.zeros((count, *part.shape[1:]), part.dtype) for part in inputs)
        one = one_like(tuple(part[:count] for part in begin))
        return run(decay, nothing, one, valid)[1], end

    def spec(part):
        sizes = zip(POSITIONS, part.shape[:2], (rows, length), strict=True)
        return PartitionSpec(*(axis if size == whole else None for axis, size, whole in sizes))

    specs = (tuple(map(spec, decay)), POSITIONS, POSITIONS)
    given = ((decay, inputs, valid), state, ())
    return by_summaries(NUMBERS, again, summary, *given, (rows, length), specs)


DIAGONAL = Operation(
    "diagonal recurrence",
    {
        "sequential": Form(_sequential, suits=_one_by_one),
        "chunked": Form(partial(_in_parallel, _chunked), suits=lambda *_: False),
        "associative": Form(partial(_in_parallel, _associative)),
    },
    _across,
)
"""Of (decay, inputs, state, valid), each of the first three as a tuple of parts."""
