"""Recording who looks at whom: the weights of attention layers, for pictures."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, NamedTuple

import jax.numpy as jnp

from seqmodels.arrays import Array, Float


class AttentionMap(NamedTuple):
    """One attention layer's weights; those of a query add up to 1."""

    kind: Literal["self", "cross"]
    """Whether it looks at its own sequence or at a source."""
    weights: Float[Array, "B H M L"]


_maps: ContextVar[list[AttentionMap] | None] = ContextVar("maps", default=None)


@contextmanager
def recorded_attention() -> Iterator[list[AttentionMap]]:
    """Collects the weights of each layer that runs, or is traced, in the block, in its order.

    Without it none are computed: the forms of attention that are used never hold them.
    """
    maps: list[AttentionMap] = []
    token = _maps.set(maps)
    try:
        yield maps
    finally:
        _maps.reset(token)


@contextmanager
def flipped_attention() -> Iterator[None]:
    """What is recorded in the block was computed on a flipped sequence, and is turned back."""
    maps = _maps.get()
    before = len(maps or [])
    yield
    for place in range(before, len(maps or [])):
        assert maps is not None
        turned = jnp.flip(maps[place].weights, axis=(2, 3))
        maps[place] = maps[place]._replace(weights=turned)


def record_attention(
    kind: Literal["self", "cross"], weights: Callable[[], Float[Array, "B H M L"]]
) -> None:
    """Called by attention layers; asks for the weights only if somebody wants them."""
    maps = _maps.get()
    if maps is not None:
        maps.append(AttentionMap(kind, weights()))
