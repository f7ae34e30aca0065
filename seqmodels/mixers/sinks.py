"""The first tokens of a sequence, which attention with a window keeps in sight."""

from typing import NamedTuple

import jax.numpy as jnp

from seqmodels.arrays import Array, Bool, Int, State
from seqmodels.errors import require
from seqmodels.mixers.base import Context, Room
from seqmodels.mixers.cache import Kept
from seqmodels.ops.attention.visibility import EVERYWHERE
from seqmodels.ops.neighbours import first_positions, take_positions
from seqmodels.ops.running import running_sum


class First(NamedTuple):
    """The first valid positions of each row, and where they stand."""

    arrays: Kept
    places: Int[Array, "#B S"]

    def visible(self, positions: Int[Array, "#B M"], window: int) -> Bool[Array, "#B M S"]:
        """Which of them a window of W keys doesn't reach any more."""
        return self.places[:, None] <= positions[:, :, None] - window


MOST_SINKS = 2**12
"""First positions at most: a query meets each of them."""


def check_sinks(
    sinks: int | None,
    logit: bool,
    causal: bool,
    window: int | None,
    score: str,
    forgetting: bool,
) -> None:
    """Refuses first positions that a window doesn't leave, and scores that have none."""
    require(
        sinks is None or 1 <= sinks <= MOST_SINKS,
        f"sinks={sinks} is not from 1 to {MOST_SINKS:,} positions; None is none",
    )
    require(
        sinks is None or (causal and window is not None and score != "additive"),
        f"sinks={sinks} stay in sight where a causal window of products leaves them; with "
        f"causal={causal}, window={window}, score={score!r} set it to None",
    )
    require(
        not logit or (score != "additive" and not forgetting),
        f"sink_logit=True is a score beside products that stay as they are; with score={score!r}, "
        f"forgetting={forgetting} set it to False",
    )


def read_first(
    new: Kept, count: int | None, state: State | None, context: Context
) -> tuple[First, dict[str, Kept]]:
    """The first positions after a chunk, none where ``count`` is None; and their part of the
    mixer's next state.
    """
    if count is None:
        none = {name: each[:, :0] for name, each in new.items()}
        return First(none, jnp.zeros((1, 0), jnp.int32)), {}
    if isinstance(state, dict):
        first, kept = extend_first(state["first"], new, context)
        return first, {"first": kept}
    first = first_of(new, count, context, isinstance(state, Room))
    return first, {"first": dict(first.arrays)}


def first_of(new: Kept, count: int, context: Context, begins: bool) -> First:
    """Those of whole sequences, in which padding may lie anywhere; or, where a state ``begins``,
    room for so many, of which a short chunk fills the first.
    """
    length = new["keys"].shape[1]
    if begins or context.valid is None:
        missing = max(0, count - length) if begins else 0
        arrays = {
            name: jnp.pad(
                first_positions(each, count), ((0, 0), (0, missing), *((0, 0),) * (each.ndim - 2))
            )
            for name, each in new.items()
        }
        return First(arrays, jnp.arange(min(count, length) + missing)[None])
    # The k-th of a row has as many positions before it as those up to which there are at most k.
    valid = running_sum(context.valid.astype(jnp.int32))
    places = jnp.sum(valid[:, None] <= jnp.arange(min(count, length))[None, :, None], axis=2)
    is_there = places < length
    places = jnp.minimum(places, length - 1)
    arrays = {name: take_positions(each, places) for name, each in new.items()}
    return First(arrays, jnp.where(is_there, places, EVERYWHERE))


def extend_first(kept: Kept, new: Kept, context: Context) -> tuple[First, Kept]:
    """Those that are kept and, of a chunk, what still belongs to them; and what is kept then."""
    assert context.positions is not None
    places = jnp.broadcast_to(context.positions, new["keys"].shape[:2])
    rows = jnp.arange(len(places))[:, None]
    # What comes later is dropped; of padding what isn't is overwritten before it is seen.
    after = {
        name: kept[name].at[rows, places].set(each.astype(kept[name].dtype), mode="drop")
        for name, each in new.items()
    }
    read = {name: after[name].astype(each.dtype) for name, each in new.items()}
    return First(read, jnp.arange(kept["keys"].shape[1])[None]), after
