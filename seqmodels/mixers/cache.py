"""What a mixer keeps of what it has read: all of it, or the last positions of a window."""

from typing import NamedTuple

import jax.numpy as jnp

from seqmodels.arrays import Array, Bool, Float, Int, Shaped
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


class KeyValues(NamedTuple):
    """What queries attend to, and where they stand among it."""

    keys: Float[Array, "B L G K"]
    values: Float[Array, "B L G U"]
    valid: Bool[Array, "B L"] | None
    offset: int | Int[Array, "B"]
    """The place of the chunk's first query."""


Kept = dict[str, Array]
"""``keys`` and ``values``, in the dtype in which they are read."""


def begin_cache(
    keys: Array, values: Array, room: int, window: int | None, context: Context
) -> Kept:
    """What is kept after the first chunk: with a window its last W - 1 positions.

    Otherwise all, with room for more. Rows may end in padding: what follows takes its place.
    """
    if window is not None:
        return {
            name: keep_last(put_before(None, new, window - 1), window - 1, context.valid)
            for name, new in (("keys", keys), ("values", values))
        }
    missing = max(0, room - keys.shape[1])
    widths = ((0, 0), (0, missing), (0, 0), (0, 0))
    return {
        name: jnp.pad(new[:, :room], widths) for name, new in (("keys", keys), ("values", values))
    }


def extend_cache(
    kept: Kept, keys: Array, values: Array, window: int | None, context: Context
) -> tuple[KeyValues, Kept]:
    """What a chunk's queries attend to, its own keys and values with it, and what is kept then.

    Only what is read is cast: a window's few positions, and of all that are kept none where they
    have the chunk's dtype.
    """
    assert context.positions is not None
    places = jnp.broadcast_to(context.positions, keys.shape[:2])
    if window is None:
        rows = jnp.arange(len(keys))[:, None]
        # Of padding what lies past the room is dropped; the rest is overwritten before it is seen.
        after = {
            name: kept[name].at[rows, places].set(new.astype(kept[name].dtype), mode="drop")
            for name, new in (("keys", keys), ("values", values))
        }
        all_keys, all_values = (after[name].astype(keys.dtype) for name in ("keys", "values"))
        return KeyValues(all_keys, all_values, None, places[:, 0]), after
    size = window - 1
    all_keys, all_values = (
        put_before(kept[name], new, size) for name, new in (("keys", keys), ("values", values))
    )
    after = {
        name: keep_last(seen, size, context.valid).astype(kept[name].dtype)
        for name, seen in (("keys", all_keys), ("values", all_values))
    }
    # A window is filled from its end: slots that nothing has reached yet are masked.
    slots = jnp.arange(all_keys.shape[1])[None]
    return KeyValues(all_keys, all_values, slots >= size - places[:, :1], size), after
