"""Trees of several blocks as one, whose leaves have a first axis more: what a loop goes along."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from seqmodels.arrays import Array, Int, Params


def stacked(trees: list[Any]) -> Any:
    """Trees of one structure as one, each leaf [trees, ...]."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@jax.custom_vjp
def stacked_parameters(trees: list[Params]) -> Params:
    """The same of parameters, whose gradients are cut apart so that it takes little to compile.

    Each is cut once, and not by all that reads it; and at a place that the compiler doesn't know,
    so that one program cuts all of a shape. Differentiated in reverse alone.
    """
    return stacked(trees)


def _forward(trees: list[Params]) -> tuple[Params, list[Int[Array, ""]]]:
    return stacked(trees), [jnp.int32(place) for place in range(len(trees))]


def _backward(places: list[Int[Array, ""]], gradient: Params) -> tuple[list[Params]]:
    cut = partial(jax.lax.dynamic_index_in_dim, keepdims=False)
    places = jax.lax.optimization_barrier(places)
    return jax.lax.optimization_barrier(
        ([jax.tree.map(lambda leaf, at=place: cut(leaf, at), gradient) for place in places],)
    )


stacked_parameters.defvjp(_forward, _backward)
