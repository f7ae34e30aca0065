"""Diagonal linear recurrences in time: ``h_t = a_t h_{t-1} + b_t``, each feature by itself.

Numbers are real, or complex as a pair of arrays, the real and the imaginary parts. Where the mask
is False the state is carried unchanged and the output is the carried h, so padding anywhere leaves
every valid position alone. Decays, states and sums are float32; outputs have the inputs' dtype.

:func:`diagonal_recurrence` takes a, b and h of all positions. A state space model has N states a
channel, and theirs of all positions would be N times as large as its inputs:
:func:`selective_state_space` and :func:`diagonal_state_space` expand, run and read a chunk at a
time, in the backward pass too.
"""

import math
from typing import Any, Literal, overload

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Bool, Float
from seqmodels.errors import require
from seqmodels.ops.diagonal_forms import BLOCK, DIAGONAL, in_padding
from seqmodels.ops.platform import platform

FormName = Literal["sequential", "chunked", "associative"]
EXPANDED, CACHED = 128, 16
"""Positions that a state space expands at a time, and on a CPU, in whose cache they should stay."""
_Sequence = Float[Array, "B L *D"]
_Decays = Float[Array, "#B #L *D"]
_Row = Float[Array, "B *D"]
_Matrix = Float[Array, "N D"]


@overload
def diagonal_recurrence(
    decay: _Decays,
    inputs: _Sequence,
    state: _Row,
    valid: Bool[Array, "B L"] | None = None,
    form: FormName | None = None,
) -> tuple[_Sequence, _Row]: ...


@overload
def diagonal_recurrence(
    decay: tuple[_Decays, _Decays],
    inputs: _Sequence | tuple[_Sequence, _Sequence],
    state: tuple[_Row, _Row],
    valid: Bool[Array, "B L"] | None = None,
    form: FormName | None = None,
) -> tuple[tuple[_Sequence, _Sequence], tuple[_Row, _Row]]: ...


def diagonal_recurrence(
    decay: _Decays | tuple[_Decays, _Decays],
    inputs: _Sequence | tuple[_Sequence, _Sequence],
    state: _Row | tuple[_Row, _Row],
    valid: Bool[Array, "B L"] | None = None,
    form: FormName | None = None,
) -> tuple[Any, Any]:
    """Every h_t, and the last in float32.

    A decay of one position serves all. Inputs may be real where decays and states are complex.
    ``form`` names one in DIAGONAL.
    """
    outputs, last = DIAGONAL(
        tuple(part.astype(jnp.float32) for part in _parts(decay)),
        _parts(inputs),
        tuple(part.astype(jnp.float32) for part in _parts(state)),
        valid,
        form=form,
    )
    return (outputs, last) if isinstance(state, tuple) else (outputs[0], last[0])


def decay_product(
    decay: _Decays | tuple[_Decays, _Decays], length: int, valid: Bool[Array, "B L"] | None = None
) -> Float[Array, "#B *D"] | tuple[Float[Array, "#B *D"], Float[Array, "#B *D"]]:
    """``a_1 a_2 ... a_L``, by which a sequence of so many positions multiplies the state before."""
    parts = in_padding(_parts(decay), valid, (1.0, 0.0))
    shape = (parts[0].shape[0], length, *parts[0].shape[2:])
    parts = [jnp.broadcast_to(part, shape) for part in parts]
    if not isinstance(decay, tuple):
        return jnp.prod(parts[0], axis=1)
    product = jnp.prod(lax.complex(*parts), axis=1)
    return product.real, product.imag


def sequential_depth(length: int, form: FormName | None) -> int:
    """The longest chain of steps of a form, or of the one that has the shortest."""
    depths = {
        "sequential": length,
        "chunked": min(BLOCK, length) + math.ceil(length / BLOCK),
        "associative": max(1, 2 * math.ceil(math.log2(length))),
    }
    return min(length, depths[form] if form else min(depths.values()))


def state_space_depth(length: int, form: FormName | None) -> int:
    """That of a state space, whose chunks follow one another."""
    count, size = _even_chunks(length, EXPANDED)
    return min(length, count * sequential_depth(size, form))


def selective_state_space(
    delta: Float[Array, "B L D"],
    A: Float[Array, "D N"],
    B: Float[Array, "B L N"],
    C: Float[Array, "B L N"],
    x: Float[Array, "B L D"],
    state: Float[Array, "B N D"],
    valid: Bool[Array, "B L"] | None = None,
    form: FormName | None = None,
    chunk: int | None = None,
    negative: bool = False,
) -> tuple[Float[Array, "B L D"], Float[Array, "B N D"]]:
    """``h_t = exp(delta_t A) h_{t-1} + delta_t B_t x_t``, ``y_t = C_t h_t``; y, and the last h.

    The selective scan of Mamba (Gu and Dao 2023, equation 2 with the discretisation of its
    appendix), with delta >= 0 and A < 0. ``negative`` has ``2 exp(delta_t A) - 1``, from -1 to 1,
    in the place of the decay (Grazzi et al. 2025). ``chunk`` positions are expanded at a time.
    """
    rates = A.astype(jnp.float32).T[None, None]
    delta = delta.astype(jnp.float32)
    if valid is not None:  # a step of no length changes nothing
        delta = jnp.where(valid[:, :, None], delta, 0.0)

    def run(state, parts):
        (delta, B, C, x), _ = parts
        decay = jnp.exp(delta[:, :, None] * rates)  # [B, C, N, D]
        decay = 2 * decay - 1 if negative else decay
        written = (delta * x)[:, :, None] * B.astype(jnp.float32)[..., None]
        h, state = diagonal_recurrence(decay, written, state, None, form)
        y = jnp.sum(h * C.astype(jnp.float32)[..., None], axis=2)
        return state, y.astype(x.dtype)

    return _by_chunks(run, (delta, B, C, x), None, state, chunk)


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
    form: FormName | None = None,
    chunk: int | None = None,
) -> tuple[Float[Array, "B L D"], tuple[Float[Array, "B N D"], Float[Array, "B N D"]]]:
    """``h_t = a h_{t-1} + x_t``, ``y_t = Re(C h_t)``: complex, the same at all positions.

    S4D's recurrence (Gu et al. 2022), whose constant factors lie in C. Returns y, and the last h.
    """
    decays = decay[0][None, None], decay[1][None, None]

    def run(state, parts):
        (x,), valid = parts
        B, length, D = x.shape
        written = jnp.broadcast_to(x[:, :, None], (B, length, len(decay[0]), D))
        h, state = diagonal_recurrence(decays, written.astype(jnp.float32), state, valid, form)
        y = jnp.sum(C[0][None, None] * h[0] - C[1][None, None] * h[1], axis=2)
        return state, y.astype(x.dtype)

    return _by_chunks(run, (x,), valid, state, chunk)


def _by_chunks(run, sequences, valid, state, chunk):
    """``state, y = run(state, (parts, valid))``, a chunk after another; all y, and the last state.

    The backward pass keeps the states between chunks alone, and makes a chunk's own again. Chunks
    are of one size, the last one padded with zeros.
    """
    most = (CACHED if platform() == "cpu" else EXPANDED) if chunk is None else chunk
    require(most >= 1, f"chunk={chunk} is below 1; give the positions to expand at a time, or None")
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


def _parts(numbers):
    """A real array, or the two of complex ones."""
    return numbers if isinstance(numbers, tuple) else (numbers,)
