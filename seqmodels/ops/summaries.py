"""Recurrences that are linear in their state, where devices hold parts of the positions.

What a part makes of the state h before it is ``A h + e``. A and e are its summary: e is where it
gets to from zeros. Summaries are put together in log2 n rounds, in which each of n parts sends what
1, 2, 4 ... of them make together (Hillis and Steele 1986): 1 + log2 n sends of a state and a map in
each pass, however long the sequence. Then every part runs again, from the state that it got. The
backward pass is the same from the last part to the first, with the adjoints of the maps and the
gradients of states. Nothing is kept for it but what a part keeps that is alone.

In both passes the first run is for the state at its end: outputs, and gradients but the state's,
nobody reads, and they aren't computed. Instead a part could run once, and its outputs get what the
state before adds to them, ``(A_t ... A_1 h)^T q_t``. In products of the state's size a position,
both passes together, where the backward pass makes states again, that is

- with a matrix as the state 7 on one device, 9 by running again and 10 by adding, which also keeps
  queries times their decays, as large as the queries, and outputs in float32;
- with erasing 11, 18 and 25, where keys are as wide as values: ``A_t ... A_1`` is a matrix there,
  K more columns of the state at each position and in both passes, and here in a first run alone;
- of a diagonal state 3, 6 and 9, and the products of decays up to each position as an array more.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, PyTree
from seqmodels.ops import numbers
from seqmodels.ops.by_parts import POSITIONS, ROWS, WHOLE, by_parts, shares
from seqmodels.ops.exchange import AXIS, of_last, only_first, passed, plus

Run = Callable[[Any, Any, Any], tuple[Any, Any]]
"""``outputs, last = run(sequences, state, weights)``, linear in the state and what is written."""
Summary = Callable[[Any, Any, Any], tuple[Any, Any]]
"""``A, A h + e = summary(sequences, h, weights)`` of a part."""


class Maps(NamedTuple):
    """Linear maps of states, by the arrays that say them."""

    times: Callable[[Any, Any], Any]
    """A map of a state, or after another map."""
    adjoint: Callable[[Any], Any]


FACTORS = Maps(jnp.multiply, lambda a: a)
"""Of real numbers by one each, or by one for all along an axis."""
NUMBERS = Maps(numbers.times, numbers.conjugate)
"""Of :mod:`seqmodels.ops.numbers`, likewise."""
MATRICES = Maps(
    partial(jnp.matmul, precision="highest"), lambda matrix: jnp.swapaxes(matrix, -1, -2)
)


def by_summaries(
    maps: Maps,
    run: Run,
    summary: Summary,
    sequences: PyTree[Array],
    state: PyTree[Array],
    weights: PyTree[Array],
    size: tuple[int, int],
    specs: Any = POSITIONS,
) -> tuple[Any, Any]:
    """``run(sequences, state, weights)``, by devices that each have their part of the positions.

    Args:
      sequences: [B, L, ...], or what ``specs`` say, as of
        :func:`~seqmodels.ops.by_parts.by_parts`; of an L that the parts don't divide each device
        runs all, of its rows.
      state: [B, ...], the one before the first position.
      weights: what is the same at all positions and in all rows.
      size: B and L.
    """

    def of_part(sequences: Any, state: Any, weights: Any) -> tuple[Any, Any]:
        given = (sequences, only_first(state), weights)
        outputs, last = _run_part(maps, run, summary, *given)
        return outputs, of_last(last)

    both = (specs, ROWS, WHOLE), (POSITIONS, ROWS)
    if shares("sequence", size[1]) > 1:
        return by_parts(of_part, size, *both)(sequences, state, weights)
    return by_parts(run, size[:1], *both)(sequences, state, weights)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _run_part(maps, run, summary, sequences, begin, weights):
    """A part's outputs and its last state, where ``begin`` is 0 but in the first part."""
    before = _arriving(maps, *summary(sequences, begin, weights))
    return run(sequences, plus(begin, before), weights)


def _forward(maps, run, summary, sequences, begin, weights):
    product, end = summary(sequences, begin, weights)
    before = _arriving(maps, product, end)
    made, pull = jax.vjp(run, sequences, plus(begin, before), weights)
    return made, (product, pull)


def _backward(maps, run, summary, kept, gradients):
    product, pull = kept
    d_outputs, d_last = gradients
    _, d_begin, _ = pull((d_outputs, d_last))
    after = _arriving(maps, maps.adjoint(product), d_begin, back=True)
    return pull((d_outputs, plus(d_last, after)))


_run_part.defvjp(_forward, _backward)


def _arriving(maps, product, end, back=False):
    """The state that the parts before this one leave, 0 for the first; or after it, with ``back``.

    Where no part is so far away zeros come: a map that forgets all, and no state.
    """
    by = 1
    while by < lax.axis_size(AXIS) - 1:
        other, state = passed((product, end), by, back)
        end = plus(maps.times(product, state), end)
        product = maps.times(product, other)
        by *= 2
    return passed(end, 1, back)
