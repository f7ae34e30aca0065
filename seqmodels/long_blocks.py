"""Blocks of very long sequences in training: one part of the positions after the other."""

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Float
from seqmodels.block import Block, BlockState
from seqmodels.mixers import Context
from seqmodels.ops.by_parts import shares
from seqmodels.remat import Remat

PART = 2**16
"""Positions of a part: what a block makes of so many fills any device's cores."""


def goes_by_parts(
    block: Block, x: Float[Array, "B *L D"], state: BlockState, context: Context
) -> bool:
    """Whether a block that keeps its inputs alone can be made again a part after the other.

    Its mixer goes on from a state that doesn't grow with what was read, and the sequence is whole,
    has two parts at least, nothing padded (which lies last, where there is a state) and all its
    positions on each device.
    """
    mixer, length = block.mixer, x.shape[1]
    if x.ndim > 3 or length < 2 * PART or context.valid is not None:
        return False
    if state["mixer"] is not None or block.cross is not None or not mixer.has_state:
        return False
    letters = jax.tree.leaves(mixer.state_letters)
    return shares("sequence", length) == 1 and not any("L" in leaf.split() for leaf in letters)


def in_parts(
    block: Block,
    remat: Remat,
    x: Float[Array, "B L D"],
    state: BlockState,
    context: Context,
) -> tuple[Float[Array, "B L D"], BlockState, Context]:
    """What a block makes of whole sequences, of which it holds a part at a time in both passes.

    Between two parts the mixer's state goes on, and its gradient back. Dropout is drawn anew for
    each.
    """
    rows, length, _ = x.shape
    count = length // PART
    cut = count * PART
    keys = None if context.key is None else jax.random.split(context.key, count + 1)
    of_positions = (x, context.positions, context.spread)

    def part(before, given, looped=True):
        (x, positions, spread), key = given
        here = context._replace(positions=positions, spread=spread, key=key)
        y, after, _ = remat.of(lambda *given: block(*given), looped=looped)(x, before, here)
        return after, y

    def split(a: Array) -> Array:
        return jnp.moveaxis(a[:, :cut].reshape(len(a), count, PART, *a.shape[2:]), 1, 0)

    first: BlockState = {"mixer": block.mixer.initial_state(rows, length)}
    if block.short is not None:
        first["short"] = block.short.initial_state(rows)
    parts = (jax.tree.map(split, of_positions), None if keys is None else keys[:count])
    after, y = lax.scan(part, first, parts)
    y = jnp.moveaxis(y, 0, 1).reshape(rows, cut, -1)
    if cut < length:
        rest = jax.tree.map(lambda a: a[:, cut:], of_positions)
        rest = (rest, None if keys is None else keys[count])
        _, last = part(after, rest, looped=False)
        y = jnp.concatenate([y, last], axis=1)
    return y, state, context
