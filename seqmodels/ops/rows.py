"""Products of many small matrices, of each row a pair: rows R are the last axis.

On CPU a call costs more than a small product. With rows as the last axis all of a block of
positions is elementwise, and vectorised, but for sums over the axes before it, which XLA would run
as loops of scalars: so their terms are written out here. Fences keep XLA from computing a sum again
for each element that reads it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from seqmodels.arrays import Array, Float, PyTree
from seqmodels.ops.stepwise import run_steps

BLOCK = 16
"""Positions that are computed at once: what they see of each other grows with it, and how often the
state is read and written falls."""
SMALLER_BLOCK = 8
"""The same where what they see of each other takes more: decays of keys, or substitution."""
KEPT = 8
"""Positions between the states that are kept for the backward pass, where a block has fewer."""


def in_blocks(
    step: Callable[[Array, Any], tuple[Array, Array]],
    block: int,
    state: Float[Array, "B H K U"],
    inputs: PyTree[Array],
) -> tuple[Float[Array, "B L H _"], Float[Array, "B H K U"]]:
    """All outputs, and the last state, of ``state, outputs = step(state, inputs)``.

    A step is of ``block`` positions: it has states [K, U, R], inputs ``[C, *K, R]`` in float32 and
    outputs ``[C, _, R]`` of rows R = B H. Inputs ``[B, L, H, *K]``, or [B, L, H] as with K = 1, end
    in zeros; some may have n a position, ``[B, nL, H, *K]``, and n C a step. The first is of L.
    """
    first = jax.tree.leaves(inputs)[0]
    length, heads = first.shape[1:3]
    blocks = -(-length // block)

    def by_block(x):
        size = block * x.shape[1] // length
        x = x if x.ndim > 3 else x[..., None]
        x = jnp.pad(x, ((0, 0), (0, blocks * size - x.shape[1]), (0, 0), (0, 0)))
        x = x.reshape(len(x), blocks, size, heads, -1)
        return jnp.transpose(x, (1, 2, 4, 0, 3)).reshape(blocks, size, x.shape[4], -1)

    def of_block(_, state, inputs):
        state, outputs = step(state, jax.tree.map(lambda x: x.astype(jnp.float32), inputs))
        return state, outputs.astype(first.dtype)

    start = jnp.transpose(state, (2, 3, 0, 1)).reshape(*state.shape[2:], -1)
    last, outputs = run_steps(
        of_block, max(KEPT // block, 1), (), start, jax.tree.map(by_block, inputs)
    )
    last = jnp.transpose(last.reshape(*state.shape[2:], *state.shape[:2]), (2, 3, 0, 1))
    outputs = outputs.reshape(blocks * block, -1, len(state), heads)[:length]
    return jnp.transpose(outputs, (2, 0, 3, 1)), last


def fenced(x: Array) -> Array:
    """The same, computed once; and so is its gradient."""
    return lax.optimization_barrier(x)


def _total(terms: Sequence[Array]) -> Array:
    """Their sum, by pairs of pairs: no chain of additions that wait for each other."""
    while len(terms) > 1:
        left = [terms[-1]] if len(terms) % 2 else []
        terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)] + left
    return terms[0]


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def contract(
    a: Float[Array, "m n R"], b: Float[Array, "s t R"], of_a: int, of_b: int
) -> Float[Array, "p q R"]:
    """The product of two matrices over an axis of each: what is left of a, and of b."""

    def lines(x, axis):
        return [lax.index_in_dim(x, i, axis, keepdims=False) for i in range(x.shape[axis])]

    pairs = zip(lines(a, of_a), lines(b, of_b), strict=True)
    return fenced(_total([x[:, None] * y[None] for x, y in pairs]))


def _contract_forward(a, b, of_a, of_b):
    return contract(a, b, of_a, of_b), (a, b)


def _contract_backward(of_a, of_b, kept, gradient):
    a, b = kept
    d_a = (b, gradient, 1 - of_b, 1) if of_a == 0 else (gradient, b, 1, 1 - of_b)
    d_b = (a, gradient, 1 - of_a, 0) if of_b == 0 else (gradient, a, 0, 1 - of_a)
    return contract(*d_a), contract(*d_b)


contract.defvjp(_contract_forward, _contract_backward)


def norm(matrix: Float[Array, "K U R"]) -> Float[Array, "1 1 R"]:
    """Each row's Frobenius norm."""
    return jnp.sqrt(jnp.sum(matrix * matrix, axis=(0, 1), keepdims=True))


@jax.custom_vjp
def scaled(x: Float[Array, "m n R"], by: Float[Array, "#m #n R"]) -> Float[Array, "m n R"]:
    """x times what may be one for all of an axis."""
    return fenced(x * by)


def _scaled_forward(x, by):
    return scaled(x, by), (x, by)


def _scaled_backward(kept, gradient):
    x, by = kept
    d_by = gradient * x
    for axis in range(2):
        if by.shape[axis] < x.shape[axis]:
            lines = range(x.shape[axis])
            d_by = _total([lax.slice_in_dim(d_by, i, i + 1, axis=axis) for i in lines])
    return scaled(gradient, by), fenced(d_by)


scaled.defvjp(_scaled_forward, _scaled_backward)


@jax.custom_vjp
def substituted(lower: Float[Array, "C C R"], x: Float[Array, "C U R"]) -> Float[Array, "C U R"]:
    """``w_i = x_i + sum_{j<i} lower_ji w_j``, of which lower_ji for j < i alone is read."""
    w = []
    for i in range(len(x)):
        w.append(_total([x[i], *(lower[j, i][None] * w[j] for j in range(i))]))
    return fenced(jnp.stack(w))


def _substituted_forward(lower, x):
    w = substituted(lower, x)
    return w, (lower, w)


def _substituted_backward(kept, gradient):
    """The same equations, transposed, from the last position to the first."""
    lower, w = kept
    transposed = jnp.flip(jnp.swapaxes(lower, 0, 1), (0, 1))
    d_x = jnp.flip(substituted(transposed, jnp.flip(gradient, 0)), 0)
    return seen_alone(contract(w, d_x, 1, 1), [range(-1, len(w) - 1)]), d_x


substituted.defvjp(_substituted_forward, _substituted_backward)


Last = Sequence[range]
"""Of readers, in so many parts: the last position of a block whose decay and whose writing each of
them sees, -1 for none."""


def seen_alone(x: Float[Array, "C M R"], last: Last) -> Float[Array, "C M R"]:
    """x where a reader sees a position, else 0."""
    seen = np.arange(len(x))[:, None] <= np.concatenate(last)[None]
    return jnp.where(seen[..., None], x, 0)


class Decays:
    """The decays of a block's C positions, [C, 1 or K, R] in logs, or None for none."""

    def __init__(self, log_decay: Float[Array, "C K R"] | None):
        self.log, self.sums = log_decay, None
        if log_decay is not None:
            sums = jnp.cumsum(log_decay, axis=0)
            self.sums = fenced(jnp.concatenate([jnp.zeros_like(sums[:1]), sums]))

    def carried(self, state: Float[Array, "K U R"]) -> Float[Array, "K U R"]:
        """What is left at the end of the state before the block."""
        return (
            state if self.sums is None else scaled(state, fenced(jnp.exp(self.sums[-1]))[:, None])
        )

    def of_state(self, readers: Float[Array, "M K R"], last: Last) -> Float[Array, "M K R"]:
        """What reads of the state before the block as the readers do at their positions."""
        if self.sums is None:
            return readers
        return scaled(readers, fenced(jnp.exp(self._until(last))))

    def to_end(self, keys: Float[Array, "C K R"]) -> Float[Array, "C K R"]:
        """What is left of keys at the end."""
        if self.sums is None:
            return keys
        return scaled(keys, fenced(jnp.exp(self.sums[-1:] - self.sums[1:])))

    def seen(
        self, keys: Float[Array, "C K R"], readers: Float[Array, "M K R"], last: Last
    ) -> Float[Array, "C M R"]:
        """What readers see of keys, which have decayed since."""
        if self.log is not None and self.log.shape[1] == keys.shape[1]:
            return self._seen_by_key(keys, readers, last)
        products = contract(keys, readers, 1, 1)
        if self.sums is not None:
            since = jnp.swapaxes(self._until(last), 0, 1) - self.sums[1:]
            products = products * jnp.exp(seen_alone(since, last))
        return seen_alone(products, last)

    def _until(self, last: Last) -> Array:
        """The sums of the logs that readers see."""
        assert self.sums is not None
        return jnp.concatenate([self.sums[r.start + 1 : r.stop + 1 : r.step] for r in last])

    def _seen_by_key(self, keys, readers, last):
        """What is left of keys is multiplied by one position's decays after another."""
        assert self.log is not None
        seen, left = [jnp.zeros_like(keys[:, :1])] * len(readers), keys[:1]
        places = np.concatenate(last)
        for position, decay in enumerate(fenced(jnp.exp(self.log))):
            if position:
                left = scaled(left, decay[None])
                left = fenced(jnp.concatenate([left, keys[position : position + 1]]))
            for number in np.flatnonzero(places == position):
                column = contract(left, readers[number : number + 1], 1, 1)
                seen[number] = jnp.pad(column, ((0, len(keys) - len(left)), (0, 0), (0, 0)))
        return fenced(jnp.concatenate(seen, axis=1))
