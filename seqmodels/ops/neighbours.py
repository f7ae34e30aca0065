"""Positions that other devices hold: the edges of neighbours' parts, and a few places of all."""

import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Int, Shaped
from seqmodels.ops.by_parts import POSITIONS, ROWS, by_parts, shares
from seqmodels.ops.exchange import AXIS, added_up, passed, place

Edges = tuple[tuple[int, int], ...]
"""So many positions before the first and after the last of each axis."""


def with_edges(
    x: Shaped[Array, "B *L D"], edges: Edges, kept: Shaped[Array, "B W D"] | None = None
) -> Shaped[Array, "B *N D"]:
    """A sequence or grid with zeros around it, or ``kept`` before its first position."""
    if kept is None:
        return jnp.pad(x, ((0, 0), *edges, (0, 0)))
    first = jnp.concatenate([kept.astype(x.dtype), x], axis=1)
    return jnp.pad(first, ((0, 0), (0, edges[0][1]), *edges[1:], (0, 0)))


def halo(
    x: Shaped[Array, "B L *rest"],
    before: int,
    after: int = 0,
    kept: Shaped[Array, "B W *rest"] | None = None,
) -> Shaped[Array, "B N *rest"]:
    """A part's positions, and so many of what lies before and after them.

    Each part hands on what it has been given where the edges reach farther than one. Beyond the
    sequence's ends are zeros; before the first position the ``kept`` ones, W = ``before``.
    """
    earlier = _fetched(x, before)
    if kept is not None and before:
        # The first parts reach past the first position, each by a length less.
        start = jnp.minimum(place() * x.shape[1], before)
        padded = jnp.pad(kept.astype(x.dtype), ((0, 0), (0, before), *[(0, 0)] * (x.ndim - 2)))
        earlier = [lax.dynamic_slice_in_dim(padded, start, before, 1) + _joined(earlier)]
    return _joined([*earlier, x, *_fetched(x, after, back=True)])


def _joined(pieces):
    return pieces[0] if len(pieces) == 1 else jnp.concatenate(pieces, axis=1)


def _fetched(x, size, back=False):
    """What lies before a part, or after it with ``back``, in order, as pieces."""
    length, pieces, edge = x.shape[1], [], x
    for _ in range(lax.axis_size(AXIS) - 1):
        few = min(size, length)
        if not few:
            break
        edge = passed(edge[:, :few] if back else edge[:, length - few :], back=back)
        pieces.append(edge)
        size -= few
    if size:
        pieces.append(jnp.zeros((len(x), size, *x.shape[2:]), x.dtype))
    return pieces if back else pieces[::-1]


def first_positions(x: Shaped[Array, "B L *rest"], count: int) -> Shaped[Array, "B S *rest"]:
    """So many, or all there are, for all devices."""
    if shares("sequence", x.shape[1]) == 1:
        return x[:, :count]
    places = jnp.arange(min(count, x.shape[1]))[None]
    return take_positions(x, jnp.broadcast_to(places, (len(x), places.shape[1])))


def take_positions(
    x: Shaped[Array, "B L *rest"], places: Int[Array, "B S"]
) -> Shaped[Array, "B S *rest"]:
    """What stands at a few places of each row, for all devices; each has some of them."""

    def within(x, places):
        return jnp.take_along_axis(x, places.reshape(*places.shape, *[1] * (x.ndim - 2)), axis=1)

    def of_part(x, places):
        own = places - place() * x.shape[1]
        is_here = (own >= 0) & (own < x.shape[1])
        taken = within(x, jnp.where(is_here, own, 0))
        is_here = is_here.reshape(*is_here.shape, *[1] * (x.ndim - 2))
        return added_up(jnp.where(is_here, taken, jnp.zeros((), x.dtype)))

    if shares("sequence", x.shape[1]) == 1:
        return within(x, places)
    return by_parts(of_part, x.shape, (POSITIONS, ROWS), ROWS)(x, places)
