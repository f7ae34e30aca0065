"""What a mixer keeps of what it has read: all of it, or the last positions of a window."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from seqmodels.arrays import Array, Bool, Int, Shaped
from seqmodels.mixers.base import Context


def keep_last(
    seen: Shaped[Array, "B N *rest"], size: int, valid: Bool[Array, "B L"] | None
) -> Shaped[Array, "B W *rest"]:
    """The last ``size`` positions, of those before each row's padding at the end."""
    if valid is None:
        return seen[:, seen.shape[1] - size :]
    stop = seen.shape[1] - valid.shape[1] + jnp.sum(valid, axis=1)
    places = stop[:, None] - size + jnp.arange(size)[None]
    return jnp.take_along_axis(seen, places.reshape(*places.shape, *(1,) * (seen.ndim - 2)), axis=1)


def put_before(
    kept: Shaped[Array, "B W *rest"] | None, new: Shaped[Array, "B L *rest"], size: int
) -> Shaped[Array, "B N *rest"]:
    """A chunk after the ``size`` positions kept of what came before it; zeros where None."""
    if kept is None:
        return jnp.pad(new, ((0, 0), (size, 0), *((0, 0),) * (new.ndim - 2)))
    return jnp.concatenate([kept.astype(new.dtype), new], axis=1)


def keep_on(
    kept: Shaped[Array, "B W *rest"] | None,
    new: Shaped[Array, "B L *rest"],
    size: int,
    valid: Bool[Array, "B L"] | None,
) -> Shaped[Array, "B W *rest"]:
    """What a kernel still sees after a chunk, and after what was kept before it."""
    after = keep_last(put_before(kept, new, size), size, valid)
    return after if kept is None else after.astype(kept.dtype)


Kept = dict[str, Array]
"""``keys``, ``values`` and what else each position has, in the dtype in which they are read."""


class Seen(NamedTuple):
    """What queries attend to, and where they stand among it."""

    arrays: Kept
    valid: Bool[Array, "B L"] | None
    offset: int | Int[Array, "B"]
    """The place of the chunk's first query."""


def begin_cache(new: Kept, room: int, window: int | None, context: Context) -> Kept:
    """What is kept after the first chunk: with a window its last W - 1 positions.

    Otherwise all, with room for more. Rows may end in padding: what follows takes its place.
    """
    if window is not None:
        return {
            name: keep_last(put_before(None, each, window - 1), window - 1, context.valid)
            for name, each in new.items()
        }
    after = {}
    for name, each in new.items():
        missing = ((0, 0), (0, max(0, room - each.shape[1])), *((0, 0),) * (each.ndim - 2))
        after[name] = jnp.pad(each[:, :room], missing)
    return after


def extend_cache(
    state: dict[str, Any], new: Kept, window: int | None, context: Context
) -> tuple[Seen, Kept]:
    """What a chunk's queries attend to, its own keys and values with it, and what is kept then.

    ``state`` is the mixer's, which may hold more. Only what is read is cast: a window's few
    positions, and of all that are kept none where they have the chunk's dtype.
    """
    assert context.positions is not None
    kept: Kept = {name: state[name] for name in new}
    length = new["keys"].shape[1]
    places = jnp.broadcast_to(context.positions, new["keys"].shape[:2])
    if window is None:
        rows = jnp.arange(len(places))[:, None]
        # Of padding what lies past the room is dropped; the rest is overwritten before it is seen.
        after = {
            name: kept[name].at[rows, places].set(each.astype(kept[name].dtype), mode="drop")
            for name, each in new.items()
        }
        read = {name: after[name].astype(each.dtype) for name, each in new.items()}
        return Seen(read, None, places[:, 0]), after
    size = window - 1
    read = {name: put_before(kept[name], each, size) for name, each in new.items()}
    after = {
        name: keep_last(seen, size, context.valid).astype(kept[name].dtype)
        for name, seen in read.items()
    }
    # A window is filled from its end: slots that nothing has reached yet are masked.
    slots = jnp.arange(size + length)[None]
    return Seen(read, slots >= size - places[:, :1], size), after
