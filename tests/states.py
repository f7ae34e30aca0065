"""States that are restored as tests save them."""

from collections.abc import Callable
from typing import Any

import jax


def abstract_state(state_function: Callable[[], Any], sharding: jax.sharding.Sharding) -> Any:
    """The shapes and dtypes of what a function would return, each array lying in one way."""
    return jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding),
        jax.eval_shape(state_function),
    )
