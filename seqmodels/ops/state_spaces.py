"""State space models with N states a channel: ``h_t = a_t h_{t-1} + b_t``, ``y_t = C_t h_t``.

States of all positions would be N times as large as the inputs, and never exist at once, in the
backward pass neither. Numbers are as in :mod:`seqmodels.ops.diagonal_recurrence`.

Of the selective scan ``sequential`` expands a position at a time. Where decays are the same at all
positions ``products`` convolves within chunks and carries states between them, by products of
matrices alone. The other forms expand, run and read a chunk at a time, by the form of that name of
the diagonal recurrence.
"""

import math
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Bool, Float
from seqmodels.errors import require
from seqmodels.ops.diagonal_forms import SHORT
from seqmodels.ops.diagonal_recurrence import FormName, diagonal_recurrence, sequential_depth
from seqmodels.ops.forms import Form, Operation
from seqmodels.ops.numbers import one_like
from seqmodels.ops.platform import platform
from seqmodels.ops.stepwise import run_steps
from seqmodels.ops.summaries import FACTORS, NUMBERS, by_summaries

StateSpaceForm = FormName | Literal["products"]
EXPANDED, CACHED = 128, 16
"""Positions that are expanded at a time, and on a CPU, in whose cache they should stay."""
CONVOLVED = 64
"""Positions that are convolved at a time, of a model whose decays are the same at all."""
_Matrix = Float[Array, "N D"]


def state_space_depth(length: int, form: str | None) -> int:
    """The longest chain of steps of a form, or of the one that has the shortest.

    Chunks follow one another, but for ``products``, which knows their states by another recurrence.
    """
    if form == "products":
        return min(length, 2 + sequential_depth(-(-length // CONVOLVED), None))
    count, size = _even_chunks(length, EXPANDED)
    return min(length, count * sequential_depth(size, form))


def constant_depth(length: int, form: str | None) -> int:
    """That of a state space whose decays are the same at all positions."""
    names = (form,) if form else CONSTANT.forms
    return min(state_space_depth(length, name) for name in names)


def selective_state_space(
    delta: Float[Array, "B L D"],
    A: Float[Array, "D N"],
    B: Float[Array, "B L N"],
    C: Float[Array, "B L N"],
    x: Float[Array, "B L D"],
    state: Float[Array, "B N D"],
    valid: Bool[Array, "B L"] | None = None,
    form: str | None = None,
    chunk: int | None = None,
    negative: bool = False,
) -> tuple[Float[Array, "B L D"], Float[Array, "B N D"]]:
    """``h_t = exp(delta_t A) h_{t-1} + delta_t B_t x_t``, ``y_t = C_t h_t``; y, and the last h.

    The selective scan of Mamba (Gu and Dao 2023, equation 2 with the discretisation of its
    appendix), with delta >= 0 and A < 0. ``negative`` has ``2 exp(delta_t A) - 1``, from -1 to 1,
    in the place of the decay (Grazzi et al. 2025). The backward pass keeps a state every ``chunk``
    positions, which other forms than ``sequential`` expand at a time.
    """
    delta = delta.astype(jnp.float32)
    if valid is not None:  # a step of no length changes nothing
        delta = jnp.where(valid[:, :, None], delta, 0.0)
    given = (delta, B.astype(jnp.float32), C.astype(jnp.float32), x.astype(jnp.float32))
    rates = A.astype(jnp.float32).T
    y, state = SELECTIVE(given, rates, state, _positions(chunk), negative, form=form)
    return y.astype(x.dtype), state


def _stepped(given, rates, state, chunk, negative):
    def step(rates, h, now):
        delta, B, C, x = now
        decay = jnp.exp(delta[:, None] * rates[None])  # [B, N, D]
        decay = 2 * decay - 1 if negative else decay
        # As products of matrices, of which XLA makes faster gradients than of broadcasts and sums.
        h = decay * h + jnp.einsum("bd,bn->bnd", delta * x, B)
        return h, jnp.einsum("bnd,bn->bd", h, C)

    given = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), given)
    state, y = run_steps(step, chunk, rates, state, given)
    return jnp.moveaxis(y, 0, 1), state


def _selected(form, given, rates, state, chunk, negative):
    """By chunks and a form of the diagonal recurrence."""

    def run(state, parts):
        (delta, B, C, x), _ = parts
        decay = jnp.exp(delta[:, :, None] * rates[None, None])  # [B, C, N, D]
        decay = 2 * decay - 1 if negative else decay
        written = (delta * x)[:, :, None] * B[..., None]
        h, state = diagonal_recurrence(decay, written, state, None, form)
        return state, jnp.sum(h * C[..., None], axis=2)

    return _by_chunks(run, given, None, state, chunk)


def selective_product(
    delta: Float[Array, "B L D"], A: Float[Array, "D N"], valid: Bool[Array, "B L"] | None = None
) -> Float[Array, "B N D"]:
    """``exp(A sum_t delta_t)``, by which the selective scan multiplies the state before, where it
    is not ``negative``.
    """
    delta = delta if valid is None else jnp.where(valid[:, :, None], delta, 0.0)
    total = jnp.sum(delta.astype(jnp.float32), axis=1)
    return jnp.exp(total[:, None] * A.astype(jnp.float32).T[None])


def diagonal_state_space(
    decay: tuple[_Matrix, _Matrix],
    C: tuple[_Matrix, _Matrix],
    x: Float[Array, "B L D"],
    state: tuple[Float[Array, "B N D"], Float[Array, "B N D"]],
    valid: Bool[Array, "B L"] | None = None,
    form: str | None = None,
    chunk: int | None = None,
) -> tuple[Float[Array, "B L D"], tuple[Float[Array, "B N D"], Float[Array, "B N D"]]]:
    """``h_t = a h_{t-1} + x_t``, ``y_t = Re(C h_t)``: complex, the same at all positions.

    S4D's recurrence (Gu et al. 2022), whose constant factors lie in C. Returns y, and the last h.
    ``chunk`` is as of :func:`selective_state_space`. With padding ``products`` can't serve.
    """
    y, state = CONSTANT(decay, C, x, state, valid, _positions(chunk), form=form)
    return y.astype(x.dtype), state


def _constant(form, decay, C, x, state, valid, chunk):
    """By chunks and a form of the diagonal recurrence."""
    decays = decay[0][None, None], decay[1][None, None]

    def run(state, parts):
        (x,), valid = parts
        B, length, D = x.shape
        written = jnp.broadcast_to(x[:, :, None], (B, length, len(decay[0]), D))
        h, state = diagonal_recurrence(decays, written.astype(jnp.float32), state, valid, form)
        return state, jnp.sum(C[0][None, None] * h[0] - C[1][None, None] * h[1], axis=2)

    return _by_chunks(run, (x,), valid, state, chunk)


def _products(decay, C, x, state, valid, chunk):
    """Whole chunks, then the positions that are left as one smaller."""
    decay, C = lax.complex(*decay), lax.complex(*C)
    x, length = x.astype(jnp.float32), x.shape[1]
    size = min(CONVOLVED, length)
    powers = jnp.broadcast_to(decay[None], (size, *decay.shape))
    powers = jnp.concatenate([jnp.ones_like(decay)[None], jnp.cumprod(powers, axis=0)])
    whole = length - length % size
    y, state = _convolved(powers, C, x[:, :whole], state)
    if whole == length:
        return y, state
    rest, state = _convolved(powers[: length - whole + 1], C, x[:, whole:], state)
    return jnp.concatenate([y, rest], axis=1), state


def _convolved(powers, C, x, state):
    """Chunks of T positions, given ``a^0 ... a^T``, [T + 1, N, D]."""
    (rows, length, D), size = x.shape, len(powers) - 1
    count = length // size
    product = partial(jnp.matmul, precision="highest")

    def of_channels(weights):  # [T, N, D] to [D, T, 2 N]
        parts = jnp.stack([weights.real, weights.imag], axis=1)
        return jnp.moveaxis(parts.reshape(size, -1, D), 2, 0)

    kernel = jnp.sum((C[None] * powers[:size]).real, axis=1).T  # [D, T]
    x = jnp.moveaxis(x.reshape(rows * count, size, D), 2, 0)  # [D, B chunks, T]
    y = product(x, _toeplitz(kernel))
    # States at the chunks' ends from zeros, then as they follow one another.
    added = product(x, of_channels(powers[size - 1 :: -1]))
    added = jnp.moveaxis(added.reshape(D, rows, count, 2, -1), (0, 3), (4, 0))  # [2, B, n, N, D]
    last = powers[size][None, None]
    states, after = diagonal_recurrence((last.real, last.imag), (added[0], added[1]), state)
    before = [
        jnp.concatenate([start[:, None], part[:, :-1]], axis=1)
        for start, part in zip(state, states, strict=True)
    ]
    before = jnp.moveaxis(jnp.stack(before, axis=2), 4, 0).reshape(D, rows * count, -1)
    read = of_channels((C[None] * powers[1:]).conj())
    y = y + product(before, jnp.swapaxes(read, 1, 2))
    return jnp.moveaxis(y, 0, 2).reshape(rows, length, D), after


def _toeplitz(kernel: Float[Array, "D T"]) -> Float[Array, "D T T"]:
    """``M_st = kernel_{t-s}`` for s <= t, else 0: what s gives to t.

    Without indices, whose gradient would be written number by number.
    """
    D, size = kernel.shape
    rows = jnp.tile(jnp.pad(kernel, ((0, 0), (0, size))), size)[:, : size * (2 * size - 1)]
    return rows.reshape(D, size, 2 * size - 1)[:, :, :size]


def _positions(chunk: int | None) -> int:
    most = (CACHED if platform() == "cpu" else EXPANDED) if chunk is None else chunk
    require(most >= 1, f"chunk={chunk} is below 1; give the positions to expand at a time, or None")
    return most


def _by_chunks(run, sequences, valid, state, most):
    """``state, y = run(state, (parts, valid))``, a chunk after another; all y, and the last state.

    The backward pass keeps the states between chunks alone, and makes a chunk's own again. Chunks
    are of one size, the last one padded with zeros.
    """
    rows, length = sequences[0].shape[:2]
    count, size = _even_chunks(length, most)
    if valid is None and count * size > length:
        valid = jnp.ones((rows, length), bool)

    def cut(x):
        padded = jnp.pad(x, ((0, 0), (0, count * size - length), *((0, 0),) * (x.ndim - 2)))
        return jnp.moveaxis(padded.reshape(rows, count, size, *x.shape[2:]), 1, 0)

    run = jax.checkpoint(run, prevent_cse=False)
    state, y = lax.scan(run, state, jax.tree.map(cut, (sequences, valid)))
    return jnp.moveaxis(y, 0, 1).reshape(rows, count * size, *y.shape[3:])[:, :length], state


def _even_chunks(length: int, most: int) -> tuple[int, int]:
    """How many chunks there are of at most so many positions, and the size of all of them."""
    count = math.ceil(length / most)
    return count, math.ceil(length / count)


def _few(x: Array) -> bool:
    """Where steps in turn are faster, as of the diagonal recurrence."""
    return platform() == "cpu" or x.shape[1] <= SHORT


def _selective_across(run, given, rates, state, chunk, negative):
    """By summaries, or by rows."""

    def again(given, state, rates):
        return run(given, rates, state, chunk, negative)

    def summary(given, begin, rates):
        delta, B, C, x = given
        _, end = again(given, begin, rates)
        if not negative:
            return selective_product(delta, rates.T), end
        # What becomes of 1, when nothing is written.
        return again((delta, B, C, jnp.zeros_like(x)), jnp.ones_like(begin), rates)[1], end

    return by_summaries(FACTORS, again, summary, given, state, rates, given[0].shape[:2])


def _constant_across(run, decay, C, x, state, valid, chunk):
    """By summaries, or by rows.

    A part's product of decays is what becomes of 1 in a row of zeros, with the form's roundings.
    """

    def again(given, state, weights):
        return run(*weights, given[0], state, given[1], chunk)

    def summary(given, begin, weights):
        x, valid = given
        count = 1 if valid is None else len(x)
        one = one_like(tuple(part[:count] for part in begin))
        product = again((jnp.zeros_like(x[:count]), valid), one, weights)[1]
        return product, again(given, begin, weights)[1]

    return by_summaries(NUMBERS, again, summary, (x, valid), state, (decay, C), x.shape[:2])


SELECTIVE = Operation(
    "selective state space",
    {
        "sequential": Form(_stepped, suits=lambda given, *_: _few(given[0])),
        "chunked": Form(partial(_selected, "chunked"), suits=lambda *_: False),
        "associative": Form(partial(_selected, "associative")),
    },
    _selective_across,
    by_rows=True,
)
"""Of (delta, B, C and x; rates [N, D]; state; chunk; negative)."""
CONSTANT = Operation(
    "state space",
    {
        "products": Form(
            _products,
            refusal=lambda decay, C, x, state, valid, chunk: (
                None if valid is None else "padding would decay as well"
            ),
            suits=lambda decay, C, x, *_: x.shape[1] > SHORT,
        ),
        "sequential": Form(partial(_constant, "sequential"), suits=lambda decay, C, x, *_: _few(x)),
        "chunked": Form(partial(_constant, "chunked"), suits=lambda *_: False),
        "associative": Form(partial(_constant, "associative")),
    },
    _constant_across,
    by_rows=True,
)
"""Of (decay, C, x, state, valid, chunk)."""
