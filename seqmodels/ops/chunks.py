"""What the chunked forms of recurrences with a matrix as their state share.

Within a chunk of C positions all is products of matrices; from chunk to chunk the state is carried.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from seqmodels.arrays import Array, Float, PyTree

POSITIONS = 1024
"""How many positions' chunks are computed at once, and made again in the backward pass."""
SMALL = 8
"""Up to so many positions every pair's decays of each key are computed."""


def over_chunks(
    group: Callable[[Array, Any], tuple[Array, Array]],
    chunk: int,
    state: Float[Array, "B H K U"],
    inputs: PyTree[Array],
) -> tuple[Float[Array, "B L H U"], Float[Array, "B H K U"]]:
    """``state, outputs = group(state, inputs)`` for groups of chunks: all outputs, and the state.

    Inputs [B, L, H, ...] reach the group as [chunks, B, H, C, ...] in float32, zeros at the end,
    and its outputs are [chunks, B, H, C, U]. C is ``chunk``, a power of 2, or the first one that
    holds all. The backward pass keeps the state before each group and makes it again.
    """
    length = jax.tree.leaves(inputs)[0].shape[1]
    size = min(chunk, 1 << (length - 1).bit_length())
    chunks = -(-length // size)
    groups = -(-chunks * size // POSITIONS)
    each = -(-chunks // groups)

    def split(x):
        padding = groups * each * size - length
        x = jnp.pad(x, ((0, 0), (0, padding), *[(0, 0)] * (x.ndim - 2)))
        x = x.reshape(len(x), groups, each, size, *x.shape[2:])
        return jnp.moveaxis(x, (0, 4), (2, 3))  # [groups, chunks, B, H, C, ...]

    def exact(state, inputs):
        return group(state, jax.tree.map(lambda x: x.astype(jnp.float32), inputs))

    again = jax.checkpoint(exact, prevent_cse=False)  # a scan needs no barrier
    state, outputs = lax.scan(again, state, jax.tree.map(split, inputs))
    outputs = jnp.moveaxis(outputs, (2, 3), (0, 4))  # [B, groups, chunks, C, H, U]
    return outputs.reshape(len(outputs), -1, *outputs.shape[4:])[:, :length], state


def not_a_power_of_2(chunk: int) -> str | None:
    """Why a chunked form can't take chunks of a length."""
    return None if chunk & (chunk - 1) == 0 else f"chunk={chunk} is no power of 2"


class Logs:
    """A chunk's decays, summed up in logs.

    Attributes:
      after: of its positions up to each, that one included, [..., C, 1 or K], or None.
      before: the same without it.
      whole: of all, [..., 1 or K].
    """

    def __init__(self, log_decay: Array | None, key: Float[Array, "*B C K"]):
        self.after = self.before = self.whole = None
        if log_decay is not None:
            each = log_decay if log_decay.ndim == key.ndim else log_decay[..., None]
            self.after = jnp.cumsum(each, axis=-2)
            self.before = self.after - each
            self.whole = self.after[..., -1, :]

    def to_end(self, x: Float[Array, "*B C K"]) -> Float[Array, "*B C K"]:
        """What is left of x, written at its position, at the chunk's end."""
        if self.after is None:
            return x
        return x * jnp.exp(self.after[..., -1:, :] - self.after)

    def from_start(self, x: Float[Array, "*B C K"], before: bool = False) -> Array:
        """What reads from a state before the chunk as x reads at its position."""
        logs = self.before if before else self.after
        return x if logs is None else x * jnp.exp(logs)


def decayed(state: Float[Array, "B H K U"], log_decay: Array | None) -> Float[Array, "B H K U"]:
    """The state times a chunk's decays, [B, H, 1 or K]."""
    return state if log_decay is None else state * jnp.exp(log_decay)[..., None]


def decayed_products(
    rows: Float[Array, "*B C K"],
    columns: Float[Array, "*B C K"],
    row_log: Float[Array, "*B C #K"] | None,
    column_log: Float[Array, "*B C #K"] | None,
    strict: bool = False,
) -> Float[Array, "*B C C"]:
    """``sum_k rows_ik columns_jk exp(row_log_ik - column_log_jk)`` for j <= i, else 0.

    ``strict`` leaves out j = i as well. Both logs are sums of logs of decays, and fall from
    position to position: the difference is never above 0 where it counts. Where each k has a decay
    of its own, each half's columns are brought up to the middle and its rows from there, so that no
    factor is above 1 however strong the decays are; blocks of SMALL positions are computed by pair.
    None is no decay.
    """
    below = -1 if strict else 0
    size = rows.shape[-2]
    if row_log is None or column_log is None or row_log.shape[-1] == 1:
        products = rows @ jnp.swapaxes(columns, -1, -2)
        if row_log is None or column_log is None:
            return lower_triangle(products, below)
        decay = lower_triangle(row_log - jnp.swapaxes(column_log, -1, -2), below)
        return lower_triangle(products * jnp.exp(decay), below)
    if size <= SMALL:
        r, c, r_log, c_log = (jnp.swapaxes(x, -1, -2) for x in (rows, columns, row_log, column_log))
        decay = jnp.exp(lower_triangle(r_log[..., :, None] - c_log[..., None, :], below))
        return jnp.sum(lower_triangle(r[..., :, None] * c[..., None, :] * decay, below), axis=-3)
    halves = [
        x.reshape(*x.shape[:-2], 2, size // 2, x.shape[-1])
        for x in (rows, columns, row_log, column_log)
    ]
    first, second = _both(decayed_products(*halves, strict=strict))
    middle = halves[3][..., 0, -1:, :]
    below_rows = halves[0][..., 1, :, :] * jnp.exp(halves[2][..., 1, :, :] - middle)
    above_columns = halves[1][..., 0, :, :] * jnp.exp(middle - halves[3][..., 0, :, :])
    return lower_blocks(first, below_rows @ jnp.swapaxes(above_columns, -1, -2), second)


def lower_triangle(x: Float[Array, "*B C C"], below: int = 0) -> Float[Array, "*B C C"]:
    """What lies on the diagonal or below it, or -1 strictly below; else 0.

    The places are a constant: jnp.tril would compare them anew, and what a loop's body computes
    twice with them would be no longer the same to the compiler once they are moved out of it.
    """
    return jnp.where(np.tri(x.shape[-1], k=below, dtype=bool), x, 0)


def lower_blocks(
    first: Float[Array, "*B C C"], lower: Float[Array, "*B C C"], second: Float[Array, "*B C C"]
) -> Float[Array, "*B c c"]:
    """``[[first, 0], [lower, second]]``."""
    top = jnp.concatenate([first, jnp.zeros_like(first)], axis=-1)
    return jnp.concatenate([top, jnp.concatenate([lower, second], axis=-1)], axis=-2)


def _both(x: Array) -> tuple[Array, Array]:
    return x[..., 0, :, :], x[..., 1, :, :]


@jax.custom_vjp
def unit_inverse(lower: Float[Array, "*B C C"]) -> Float[Array, "*B C C"]:
    """``(I - A)^-1`` of a strictly lower triangular A, C a power of 2.

    By halves: ``[[P, 0], [-A, Q]]^-1 = [[P^-1, 0], [Q^-1 A P^-1, Q^-1]]``, which is as stable as
    substitution, and products of matrices alone. Its gradient by A is T^T dT T^T below the
    diagonal.
    """
    size = lower.shape[-1]
    if size <= 2:
        return lower + jnp.eye(size).reshape(*[1] * (lower.ndim - 2), size, size)
    half = size // 2
    diagonal = jnp.stack([lower[..., :half, :half], lower[..., half:, half:]], axis=-3)
    first, second = _both(unit_inverse(diagonal))
    return lower_blocks(first, _exactly(second, lower[..., half:, :half], first), second)


def _inverse_forward(lower):
    inverse = unit_inverse(lower)
    return inverse, inverse


def _inverse_backward(inverse, gradient):
    transposed = jnp.swapaxes(inverse, -1, -2)
    return (lower_triangle(_exactly(transposed, gradient, transposed), -1),)


unit_inverse.defvjp(_inverse_forward, _inverse_backward)


def _exactly(*factors: Array) -> Array:
    """Their product in float32, also where products are rounded to less by default."""
    first, second, third = factors
    product = jnp.matmul(first, second, precision="highest")
    return jnp.matmul(product, third, precision="highest")
