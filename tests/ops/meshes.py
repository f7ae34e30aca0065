"""An operation on a mesh of devices against the same on one: outputs and all gradients."""

import math
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from seqmodels.arrays import Array
from seqmodels.training.sharding import make_mesh, traced_under
from tests.ops.ordering import COLLECTIVES, unordered

AXES = {"B": "data", "L": "sequence", "M": "sequence", "H": "model", "G": "model", "E": "model"}
"""Where a letter's axis lies, if it can be shared equally."""
KINDS = "|".join(COLLECTIVES)


def mesh_of(data: int, sequence: int, model: int) -> Mesh:
    return make_mesh(data * sequence * model, sequence=sequence, model=model)


class Inputs:
    """Arrays by their letters, such as "B L H K", of sizes by letter."""

    def __init__(self, sizes: dict[str, int], *letters: str, dtype: Any = np.float32):
        random = np.random.default_rng(sum(sizes.values()))
        self.letters = letters
        self.arrays = [
            random.normal(size=[sizes[letter] for letter in each.split()])
            .astype(np.float32)
            .astype(dtype)
            for each in letters
        ]

    def shardings(self, mesh: Mesh) -> list[NamedSharding]:
        """Each letter along its axis of the mesh."""
        found = []
        for letters, array in zip(self.letters, self.arrays, strict=True):
            axes = [AXES.get(letter) for letter in letters.split()]
            shared = [
                axis if axis and size % mesh.shape[axis] == 0 else None
                for axis, size in zip(axes, array.shape, strict=True)
            ]
            found.append(NamedSharding(mesh, PartitionSpec(*shared)))
        return found


def both_passes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Outputs, and gradients by every input for cotangents that differ by place."""

    def run(*arrays):
        outputs, pull = jax.vjp(function, *arrays)
        return outputs, pull(jax.tree.map(cotangent, outputs))

    return run


def cotangent(x: Array) -> Array:
    """One that differs by place."""
    places = jnp.arange(x.size, dtype=jnp.float32)
    return jnp.sin(places).reshape(x.shape).astype(x.dtype)


def lowered(function: Callable[..., Any], inputs: Inputs, mesh: Mesh) -> Any:
    """The program of both passes on a mesh, before it is compiled."""
    shapes = [
        jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
        for x, sharding in zip(inputs.arrays, inputs.shardings(mesh), strict=True)
    ]
    return jax.jit(traced_under(mesh, both_passes(function))).lower(*shapes)


def assert_same(
    function: Callable[..., Any], inputs: Inputs, mesh: Mesh, tolerance: float = 1e-5
) -> Any:
    """Every array within a tolerance of the norm of one device's; returns the program."""
    program = lowered(function, inputs, mesh).compile()
    assert unordered(program) == []
    placed = map(jax.device_put, inputs.arrays, inputs.shardings(mesh))
    found = jax.tree.leaves(program(*placed))
    expected = jax.tree.leaves(jax.jit(both_passes(function))(*inputs.arrays))
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        a, b = (np.asarray(x).astype(np.float64) for x in (a, b))
        assert np.isfinite(a).all()
        error = np.linalg.norm(a - b)
        assert error <= tolerance * np.linalg.norm(b), f"{error / np.linalg.norm(b):.1e}"
    return program


def collectives(program: Any) -> dict[str, list[int]]:
    """Of a compiled program: how many numbers each collective of a kind gives."""
    found: dict[str, list[int]] = {}
    for shapes, kind in re.findall(rf"= (.*?) ({KINDS})(?:-start)?\(", program.as_text()):
        for shape in re.findall(r"\[([\d,]*)\]", shapes):
            size = math.prod(int(count) for count in shape.split(",") if count)
            found.setdefault(kind, []).append(size)
    return found
