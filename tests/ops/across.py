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


ROUNDINGS = 4
"""What cancels has fewer digits than a tolerance asks for: it may be off by so many times what one
device's own result changes, at most, where each number of the inputs becomes its neighbour."""
NUDGES = 8


def nudged(given: Any, seed: int) -> Any:
    """Each number's next neighbour, up or down at random."""
    chance = np.random.default_rng(seed)

    def nudge(x):
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return x
        x = np.asarray(x)
        towards = np.where(chance.random(x.shape) < 0.5, -np.inf, np.inf).astype(x.dtype)
        return np.nextafter(x, towards)

    return jax.tree.map(nudge, given)


def errors(found: Any, wanted: Any) -> dict[str, float]:
    """By path the norm of the difference over that of what is wanted."""
    by_path = {}
    for (path, one), other in zip(
        jax.tree.leaves_with_path(wanted), jax.tree.leaves(found), strict=True
    ):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        one, other = (np.asarray(x, np.float64) for x in (one, other))
        size = float(np.linalg.norm(one)) or 1
        by_path[jax.tree_util.keystr(path)] = float(np.linalg.norm(other - one)) / size
    return by_path


def check(function: Function, given: dict[str, Any], mesh: Mesh, size: Any, within: float) -> str:
    """What a mesh makes of arguments against what one device does; returns the mesh's program."""
    alone = program(function, None)
    wanted = alone(given)
    placed = place(given, mesh, *size)
    compiled = program(function, mesh).lower(placed).compile()
    assert unordered(compiled) == []
    far = {path: e for path, e in errors(compiled(placed), wanted).items() if not e <= within}
    if far:
        own = [errors(alone(nudged(given, seed)), wanted) for seed in range(NUDGES)]
        far = {path: e for path, e in far.items() if not e <= ROUNDINGS * max(o[path] for o in own)}
    assert far == {}, far
    return compiled.as_text()


def gathered(text: str, length: int) -> list[str]:
    """The collectives of a program whose results have an axis so long."""
    kinds = "|".join(COLLECTIVES)
    found = re.findall(rf"= (.*?) ((?:{kinds})(?:-start)?)\(", text)
    return [f"{kind} {shape}" for shape, kind in found if re.search(rf"[\[,]{length}[\],]", shape)]
