"""What a function says of many positions, by chunks of them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import AnyArray, Array, PyTree
from seqmodels.ops.by_parts import POSITIONS, ROWS, WHOLE, by_parts, shares


def by_positions(
    function: Callable[[Any, Any], tuple[Any, Any]],
    join: Callable[[Any, Any], Any],
    size: int,
    params: PyTree[Array],
    inputs: PyTree[AnyArray],
) -> tuple[PyTree[Array], PyTree[Array]]:
    """``function(params, inputs)``, of ``size`` positions or fewer at a time.

    What is made of a chunk is forgotten, and made again in the backward pass, which adds up the
    gradients of the parameters in their own dtype. Each device goes through the positions that it
    holds, of the rows that it holds, and the devices' gradients are added up once, after the last
    chunk. Positions that devices can't share equally each of them has whole.

    Args:
      function: of inputs [B, C, ...] to what is said of each row, [B], and of each position,
        [B, C, ...]; what it says of zeros must add nothing, since they fill up the last chunk.
      join: of what is said of rows in two parts of their positions; zeros are the first.
      size: positions C of a chunk.
      inputs: [B, P, ...].
    """
    rows, positions = jax.tree.leaves(inputs)[0].shape[:2]
    is_shared = shares("sequence", positions) > 1

    def of_part(params: Any, inputs: Any) -> tuple[Any, Any]:
        rows, length = jax.tree.leaves(inputs)[0].shape[:2]
        count = -(-length // size)
        each = -(-length // count)  # all as long, but for what fills up the last one

        def split(x: AnyArray) -> Array:
            ends = ((0, 0), (0, count * each - length), *((0, 0),) * (x.ndim - 2))
            x = jnp.pad(x, ends).reshape(rows, count, each, *x.shape[2:])
            return jnp.moveaxis(x, 1, 0)  # [chunks, B, C, ...]

        @partial(jax.checkpoint, prevent_cse=False)  # a scan needs no barrier
        def add(total: Any, chunk: Any) -> tuple[Any, Any]:
            of_rows, of_positions = function(params, chunk)
            return join(total, of_rows), of_positions

        chunks = jax.tree.map(split, inputs)
        shapes, _ = jax.eval_shape(function, params, jax.tree.map(lambda x: x[0], chunks))
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        total, of_positions = lax.scan(add, zeros, chunks)
        if is_shared:  # each device says of its rows what all parts together do
            of_parts = lax.all_gather(total, "sequence")
            total, _ = lax.scan(lambda *two: (join(*two), None), zeros, of_parts)
        return total, jax.tree.map(
            lambda y: jnp.moveaxis(y, 0, 1).reshape(rows, -1, *y.shape[3:])[:, :length],
            of_positions,
        )

    specs = (WHOLE, POSITIONS), (ROWS, POSITIONS)
    return by_parts(of_part, (rows, positions), *specs)(params, inputs)
