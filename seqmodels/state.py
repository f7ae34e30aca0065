"""A model's state: how much of each row it has read, for how much there is room, and its blocks'.

What is read first goes through the forms for whole sequences; what comes after it goes on from
what they left.
"""

from collections.abc import Callable
from typing import Any

import jax.core
import jax.numpy as jnp
import numpy as np

from seqmodels.arrays import AnyArray, Array, Bool, Float, Int, Key, State
from seqmodels.errors import require
from seqmodels.mixers import Context, Room
from seqmodels.ops.positions import draw_positions
from seqmodels.stack import Stack, draw_key


def start_state(
    stack: Stack,
    rows: int,
    room: int,
    ends: bool,
    lengths: Int[AnyArray, "B"] | None,
    key: Key[Array, ""] | None,
    source: Float[Array, "B S D"] | None = None,
    source_valid: Bool[AnyArray, "B S"] | None = None,
) -> State:
    """The state before the first position of a stack of blocks.

    Args:
      rows: how many sequences B.
      room: the longest that they may become.
      ends: whether something ends there, such as a cache; otherwise any number may follow, and
        one program serves every room.
      lengths: how many positions each row has in all; ``room`` if None.
      key: draws spread positions, where a mixer wants some.
      source: what a decoder's blocks attend to.
      source_valid: which of its positions are real.
    """
    before = Room(room if ends else 0)
    lengths = jnp.full((rows,), room, jnp.int32) if lengths is None else jnp.asarray(lengths)
    state = {
        "count": jnp.zeros((rows,), jnp.int32),
        "lengths": lengths,
        "room": before if ends else None,
        "blocks": [block.start(before, source, source_valid) for block in stack.blocks],
    }
    if stack.position_range is not None and key is not None:
        state["spread"] = draw_positions(room, stack.position_range, lengths, draw_key(key))
    return state


def extend_state(
    stack: Stack,
    state: Any,
    length: int,
    embed: Callable[[Int[Array, "#B L"]], Float[Array, "B L D"]],
    score: Callable[[Float[Array, "B P D"]], Float[Array, "B P V"]],
    valid: Bool[AnyArray, "B L"] | None,
    key: Key[Array, ""] | None,
    scored: Int[AnyArray, "B P"] | None,
) -> tuple[Float[Array, "B P V"], State]:
    """The scores of a chunk and the state after it.

    Args:
      state: what :func:`start_state` or the last call returned.
      embed: the blocks' inputs, from the positions of the chunk.
      score: what they make into scores.
      valid: where the chunk is no padding, which comes last in each row; None where it has none.
      scored: at which of its positions scores are wanted; None for all.

    Raises:
      ParameterError: more positions than there is room for, where that can be seen; where it can't,
        while tracing, the scores of those beyond are NaN.
    """
    valid = None if valid is None else jnp.asarray(valid)
    context = _context(stack, state, length, valid, key)
    assert context.positions is not None
    require_room(state, length, valid)
    x, blocks, _ = stack.run(embed(context.positions), state["blocks"], context)
    if scored is not None:
        x = jnp.take_along_axis(x, jnp.asarray(scored)[:, :, None], axis=1)
    scores = score(x)
    if state["room"] is not None and not (_is_new(state) and length <= state["room"].positions):
        beyond = context.positions >= state["room"].positions
        beyond = jnp.broadcast_to(beyond if valid is None else beyond & valid, (len(x), length))
        if scored is not None:
            beyond = jnp.take_along_axis(beyond, jnp.asarray(scored), axis=1)
        scores = jnp.where(beyond[:, :, None], jnp.nan, scores)
    count = state["count"] + (length if valid is None else jnp.sum(valid, axis=1))
    return scores, state | {"count": count, "blocks": blocks}


def _is_new(state: Any) -> bool:
    return isinstance(state["blocks"][0]["mixer"], Room)


def _context(stack, state, length, valid, key) -> Context:
    context = Context.of(
        len(state["count"]),
        length,
        valid,
        count=0 if _is_new(state) else state["count"],
        lengths=state["lengths"],
        position_range=stack.position_range,
        key=key,
    )
    if "spread" not in state:
        return context
    assert context.positions is not None
    places = jnp.broadcast_to(context.positions, (len(state["count"]), length))
    return context._replace(spread=jnp.take_along_axis(state["spread"], places, axis=1))


def require_room(state: Any, length: int, valid: Bool[Array, "B L"] | None) -> None:
    """Raises ParameterError where a state has no room for a chunk, as far as that can be seen."""
    if state["room"] is None:
        return
    before = 0 if _is_new(state) else state["count"]
    after = before + (length if valid is None else jnp.sum(valid, axis=1))
    if isinstance(after, jax.core.Tracer):
        return
    longest, room = int(np.max(np.asarray(after))), state["room"].positions
    require(
        longest <= room,
        f"a state with room for {room} positions can't go on to {longest}; start one with "
        f"room={longest} or more",
    )
