"""Where an array lies on the devices of a mesh: one table, by the letters of its axes."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import jax
from jax.sharding import NamedSharding, PartitionSpec

from seqmodels.arrays import Array

RULES: Mapping[str, str] = MappingProxyType(
    {"B": "data", "L": "sequence", **dict.fromkeys("EFGHV", "model")}
)
"""By letter of an axis (:mod:`seqmodels.arrays`) the axis of a mesh whose devices share it.

All others stay whole: the model width D, which residual connections add up; a head's features and a
recurrence's states, of which each step needs all.
"""
OPTIONAL = frozenset("GV")
"""Letters whose axes stay whole without a word where they can't be shared equally: fewer heads of
keys and values are repeated, and how many tokens there are says the task."""


def partition(
    letters: Iterable[str], shape: Iterable[int], parts: Mapping[str, int]
) -> PartitionSpec:
    """How an array is split, by the letters of its axes and the sizes of a mesh's axes.

    What can't be shared equally stays whole, as does an axis without a letter, and the second of
    two that the same devices would share.

    >>> tuple(partition("BLD", (8, 64, 16), {"data": 4, "sequence": 2, "model": 1}))
    ('data', 'sequence')
    """
    split: list[str | None] = []
    for letter, size in zip(letters, shape, strict=False):
        axis = RULES.get(letter)
        count = parts.get(axis, 1) if axis is not None else 1
        split.append(axis if count > 1 and size % count == 0 and axis not in split else None)
    while split and split[-1] is None:  # which is how JAX writes it
        split.pop()
    return PartitionSpec(*split)


def placed(x: Array, letters: str) -> Array:
    """An array that lies on the devices of the current mesh as its letters say, "B L D".

    Without a mesh, or on one device, it is the array.
    """
    mesh = jax.sharding.get_abstract_mesh()
    parts = {name: n for name, n in mesh.shape.items() if name not in mesh.manual_axes and n > 1}
    if not parts:
        return x
    spec = partition(letters.split(), x.shape, parts)
    return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, spec))
