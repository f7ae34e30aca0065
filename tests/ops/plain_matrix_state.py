"""Recurrences with a matrix as their state, one position after another, in float64.

In NumPy, and of the same step in ``lax.scan`` under JAX's 64-bit types for its gradients; nothing
is shared with the package.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax


def step(state, given, number=np):
    """``S = (D + a b^T) S + k v^T`` for each of a token's steps; its output is ``S^T q``."""
    query, keys, values, erase, reads, decay, valid = given
    after = state
    for n in range(keys.shape[0]):
        held = (after * reads[n][..., None]).sum(-2)
        if n == 0:
            after = after * decay[..., None]
        after = after + erase[n][..., None] * held[..., None, :]
        after = after + keys[n][..., None] * values[n][..., None, :]
    after = number.where(valid[:, None, None, None], after, state)
    return after, (after * query[..., None]).sum(-2)


def whole(arguments: dict[str, Any], number=np) -> tuple[Any, ...]:
    """All that a step takes, by position: without erasing a is 0, without a decay D is 1."""
    shared = arguments["value"].shape[2] // arguments["key"].shape[2]
    query, key = (number.repeat(arguments[name], shared, axis=2) for name in ("query", "key"))
    length = query.shape[1]
    erase, reads = arguments.get("erase"), arguments.get("reads")
    if erase is None:
        erase, reads = number.zeros_like(key), number.zeros_like(key)
    elif erase.ndim == 3:
        erase = erase[..., None] * key
    log = arguments["log_decay"]
    if log is None:
        decay = number.ones_like(query)
    else:
        decay = number.exp(log if log.ndim == 4 else log[..., None]) * number.ones_like(query)

    def by_token(x):
        return number.moveaxis(x.reshape(len(x), length, -1, *x.shape[2:]), 0, 2)

    valid = arguments["valid"]
    valid = np.ones(query.shape[:2], bool) if valid is None else valid
    first = [number.moveaxis(x, 0, 1) for x in (query, decay, valid)]
    of_steps = [by_token(x) for x in (key, arguments["value"], erase, reads)]
    return first[0], *of_steps, *first[1:]


def loop(arguments: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The outputs and the last state."""
    wide = {
        name: x if x is None or x.dtype == bool else np.asarray(x, np.float64)
        for name, x in arguments.items()
    }
    state, outputs = wide["state"], []
    for given in zip(*whole(wide), strict=True):
        state, output = step(state, given)
        outputs.append(output)
    return np.stack(outputs, axis=1), state


def scan(arguments: dict[str, Any]) -> tuple[Any, Any]:
    """The same, to be differentiated."""

    def one(state, given):
        return step(state, given, jnp)

    state, outputs = lax.scan(one, arguments["state"], whole(arguments, jnp))
    return jnp.swapaxes(outputs, 0, 1), state
