"""Diagonal linear recurrences in time: ``h_t = a_t h_{t-1} + b_t``, each feature by itself.

Numbers are real, or complex as a pair of arrays, the real and the imaginary parts. Where the mask
is False the state is carried unchanged and the output is the carried h, so padding anywhere leaves
every valid position alone. Decays, states and sums are float32; outputs have the inputs' dtype.

:func:`diagonal_recurrence` takes a, b and h of all positions; :mod:`seqmodels.ops.state_spaces`
those of models with N states a channel, whose h of all positions would be N times as large as
their inputs.
"""

import math
from typing import Any, Literal, overload

import jax.numpy as jnp

from seqmodels.arrays import Array, Bool, Float
from seqmodels.ops.diagonal_forms import BLOCK, DIAGONAL

FormName = Literal["sequential", "chunked", "associative"]
_Sequence = Float[Array, "B L *D"]
_Decays = Float[Array, "#B #L *D"]
_Row = Float[Array, "B *D"]


@overload
def diagonal_recurrence(
    decay: _Decays,
    inputs: _Sequence,
    state: _Row,
    valid: Bool[Array, "B L"] | None = None,
    form: str | None = None,
) -> tuple[_Sequence, _Row]: ...


@overload
def diagonal_recurrence(
    decay: tuple[_Decays, _Decays],
    inputs: _Sequence | tuple[_Sequence, _Sequence],
    state: tuple[_Row, _Row],
    valid: Bool[Array, "B L"] | None = None,
    form: str | None = None,
) -> tuple[tuple[_Sequence, _Sequence], tuple[_Row, _Row]]: ...


def diagonal_recurrence(
    decay: _Decays | tuple[_Decays, _Decays],
    inputs: _Sequence | tuple[_Sequence, _Sequence],
    state: _Row | tuple[_Row, _Row],
    valid: Bool[Array, "B L"] | None = None,
    form: str | None = None,
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


def sequential_depth(length: int, form: str | None) -> int:
    """The longest chain of steps of a form, or of the one that has the shortest."""
    depths = {
        "sequential": length,
        "chunked": min(BLOCK, length) + math.ceil(length / BLOCK),
        "associative": max(1, 2 * math.ceil(math.log2(length))),
    }
    return min(length, depths[form] if form else min(depths.values()))


def _parts(numbers):
    """A real array, or the two of complex ones."""
    return numbers if isinstance(numbers, tuple) else (numbers,)
