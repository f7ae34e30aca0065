"""Checkpoints of earlier versions, where several parameters of today were fused in one array.

What each parameter was a part of, it says itself (:class:`~seqmodels.parameters.Part`); the
optimizer's moments lie as the parameters do.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from seqmodels.arrays import Array
from seqmodels.parameters import About
from seqmodels.training.sharding import replicated


def fused_shapes(like: Any, parameters: dict[str, Any]) -> Any:
    """A state's shapes, dtypes and shardings as an earlier version saved them.

    What is cut into several lies whole on each device: its parts may lie in ways of their own.
    """

    def fuse(params: dict[str, Any]) -> dict[str, Any]:
        fused: dict[str, Any] = {}
        for (path, said), leaf in zip(_leaves(parameters), jax.tree.leaves(params), strict=True):
            *within, last = _place(path, said)
            at = fused
            for name in within:
                at = at.setdefault(name, {})
            shape, where = leaf.shape, leaf.sharding
            if said.was is not None:
                shape, where = said.was.shape, replicated(where.mesh)
            at[last] = jax.ShapeDtypeStruct(shape, leaf.dtype, sharding=where)
        return fused

    return _in_each(fuse, parameters, like)


def cut(fused: Any, like: Any, parameters: dict[str, Any]) -> Any:
    """An earlier version's state, as it is now."""

    def cut_params(now: dict[str, Any], then: dict[str, Any]) -> dict[str, Any]:
        leaves, structure = jax.tree.flatten(now)
        made = []
        for (path, said), leaf in zip(_leaves(parameters), leaves, strict=True):
            whole = then
            for name in _place(path, said):
                whole = whole[name]
            made.append(_part(whole, said, leaf.shape))  # type: ignore[arg-type]
        return jax.tree.unflatten(structure, made)

    shardings = jax.tree.map(lambda leaf: leaf.sharding, like)
    return jax.jit(partial(_in_each, cut_params, parameters, like), out_shardings=shardings)(fused)


def _leaves(parameters: dict[str, Any]) -> list[tuple[tuple, About]]:
    return [
        (tuple(key.key for key in path), said)
        for path, said in jax.tree.leaves_with_path(parameters)
    ]


def _place(path: tuple, said: About) -> tuple:
    """Where a parameter, or what it was a part of, lay."""
    names = () if said.was is None else tuple(said.was.name.split("/"))
    return path[: len(path) - len(names)] + names


def _part(whole: Array, said: About, shape: tuple[int, ...]) -> Array:
    if said.was is None:
        return whole
    size = math.prod(shape) // math.prod(whole.shape[:-1])
    return whole[..., said.was.start : said.was.start + size].reshape(shape)


def _in_each(function: Callable, parameters: dict[str, Any], state: Any, *others: Any) -> Any:
    """Applies a function to each tree of parameters in a state, and of moments, as of theirs."""
    structure = jax.tree.structure(parameters)

    def is_params(node: Any) -> bool:
        return isinstance(node, dict) and jax.tree.structure(node) == structure

    def change(node: Any, *of_others: Any) -> Any:
        return function(node, *of_others) if is_params(node) else (of_others or (node,))[0]

    return jax.tree.map(change, state, *others, is_leaf=is_params)
