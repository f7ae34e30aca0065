"""Operations on a mesh whose devices share the positions, beside the same on one device."""

import re
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from seqmodels.training.sharding import traced_under
from tests.ops.ordering import COLLECTIVES, unordered

Function = Callable[[dict[str, Any]], Any]


def spec_of(shape: tuple[int, ...], mesh: Mesh, rows: int, length: int) -> PartitionSpec:
    """Rows by the data axis, and positions by the sequence axis, where they can be shared."""

    def split(axis: int, name: str, size: int) -> str | None:
        there = axis < len(shape) and shape[axis] % size == 0 == shape[axis] % mesh.shape[name]
        return name if there else None

    axes = split(0, "data", rows), split(1, "sequence", length)
    return PartitionSpec(*axes[: len(shape)])


def place(given: Any, mesh: Mesh, rows: int, length: int, abstract: bool = False) -> Any:
    """Arguments where a mesh's devices have them."""

    def placed(x):
        sharding = NamedSharding(mesh, spec_of(x.shape, mesh, rows, length))
        if abstract:
            return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
        return jax.device_put(x, sharding)

    return jax.tree.map(placed, given)


def with_gradients(function: Function, given: dict[str, Any]) -> dict[str, Any]:
    """All that it makes, and the gradients by all arguments of a weighed sum of it."""
    leaves, structure = jax.tree.flatten(given)
    moves = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves]

    def of_moving(moving: list[Any]) -> Any:
        left = iter(moving)
        all_of_them = [next(left) if m else x for m, x in zip(moves, leaves, strict=True)]
        return function(jax.tree.unflatten(structure, all_of_them))

    made, pull = jax.vjp(of_moving, [x for m, x in zip(moves, leaves, strict=True) if m])

    def weights(x):
        return jnp.cos(jnp.arange(x.size, dtype=jnp.float32)).reshape(x.shape).astype(x.dtype)

    (gradients,) = pull(jax.tree.map(weights, made))
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(given)]
    named = [path for path, m in zip(paths, moves, strict=True) if m]
    return {"made": made} | dict(zip(named, gradients, strict=True))


@cache
def program(function: Function, mesh: Mesh | None) -> Any:
    """With gradients, compiled for the mesh, or for one device."""
    whole = partial(with_gradients, function)
    return jax.jit(whole if mesh is None else traced_under(mesh, whole))


LEAST = 0.01
"""Of the largest array's norm: all smaller ones are held to this, as 1e-5 of it is what float32
has left of the largest. Gradients that cancel are nothing but rounding."""


def errors(found: Any, wanted: Any) -> dict[str, float]:
    """By path the norm of the difference over that of what is wanted, or over LEAST."""
    by_path = {}
    greatest = max(
        float(np.linalg.norm(np.asarray(x, np.float64))) for x in jax.tree.leaves(wanted)
    )
    for (path, one), other in zip(
        jax.tree.leaves_with_path(wanted), jax.tree.leaves(found), strict=True
    ):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        one, other = (np.asarray(x, np.float64) for x in (one, other))
        size = max(float(np.linalg.norm(one)), LEAST * greatest) or 1
        by_path[jax.tree_util.keystr(path)] = float(np.linalg.norm(other - one)) / size
    return by_path


def check(function: Function, given: dict[str, Any], mesh: Mesh, size: Any, within: float) -> str:
    """What a mesh makes of arguments against what one device does; returns the mesh's program."""
    wanted = program(function, None)(given)
    placed = place(given, mesh, *size)
    compiled = program(function, mesh).lower(placed).compile()
    assert unordered(compiled) == []
    far = {path: e for path, e in errors(compiled(placed), wanted).items() if not e <= within}
    assert far == {}
    return compiled.as_text()


def gathered(text: str, length: int) -> list[str]:
    """The collectives of a program whose results have an axis so long."""
    kinds = "|".join(COLLECTIVES)
    found = re.findall(rf"= (.*?) ((?:{kinds})(?:-start)?)\(", text)
    return [f"{kind} {shape}" for shape, kind in found if re.search(rf"[\[,]{length}[\],]", shape)]
