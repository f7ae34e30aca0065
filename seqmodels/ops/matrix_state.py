"""A matrix as the state, without erasing.

    S_t = D_t S_{t-1} + k_t v_t^T        o_t = S_t^T q_t        t = 1 ... L

S [K, U] is what keys have written of values, and D_t = diag(exp(log_decay_t)), one decay a head or
one for each of the K rows. Linear attention (Katharopoulos et al. 2020) has none, retention (Sun et
al. 2023) and Mamba-2 (Dao and Gu 2024) one a head, gated linear attention (Yang et al. 2024) one a
row. State and sums are float32.

:data:`MATRIX_STATE` has its forms: step by step, and a few positions at a time, with rows as the
last axis (:mod:`seqmodels.ops.rows`); and products of matrices, many at a time
(:mod:`seqmodels.ops.chunks`).
"""

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Bool, Float
from seqmodels.ops.chunks import Logs, decayed, decayed_products, not_a_power_of_2, over_chunks
from seqmodels.ops.forms import Form, Operation
from seqmodels.ops.platform import platform
from seqmodels.ops.rows import BLOCK, SMALLER_BLOCK, Decays, contract, in_blocks, norm

LogDecay = Float[Array, "B L H"] | Float[Array, "B L H K"] | None
"""The logs of decays in float32, at most 0: one a head, or one for each key feature; or none."""
FEW_POSITIONS = 16
"""Up to so many positions are read one by one, wherever that runs."""
FEW_KEYS = 64
"""Up to so many rows of the state blocks are faster than chunks on CPU."""
LONG = 256
"""There positions are read one by one below so many: blocks take seconds more to compile."""


def matrix_state(
    query: Float[Array, "B L H K"],
    key: Float[Array, "B L H K"],
    value: Float[Array, "B L H U"],
    log_decay: LogDecay,
    state: Float[Array, "B H K U"],
    valid: Bool[Array, "B L"] | None = None,
    *,
    chunk: int = 64,
    form: str | None = None,
) -> tuple[Float[Array, "B L H U"], Float[Array, "B H K U"]]:
    """Every ``o_t``, and the last state in float32.

    A padded position leaves the state as it is. ``chunk`` positions, a power of 2, are computed at
    once by the chunked form. ``form`` names one in MATRIX_STATE; it raises ParameterError where
    that one can't serve.
    """
    key, state = masked(key, valid), state.astype(jnp.float32)
    log_decay = None if log_decay is None else masked(log_decay, valid)
    outputs, state = MATRIX_STATE(query, key, value, log_decay, state, chunk, form=form)
    return outputs.astype(query.dtype), state


def matrix_norms(
    key: Float[Array, "B L H K"],
    value: Float[Array, "B L H U"],
    log_decay: LogDecay,
    state: Float[Array, "B H K U"],
    valid: Bool[Array, "B L"] | None = None,
) -> Float[Array, "B L H"]:
    """The Frobenius norm of every ``S_t``, step by step: no other form has the states between."""
    key, log_decay = jax.tree.map(lambda x: masked(x, valid), (key, log_decay))

    def step(state, given):
        state = _written(state, *given)
        return state, norm(state)

    inputs = (key.astype(jnp.float32), value, log_decay)
    return in_blocks(step, 1, state.astype(jnp.float32), inputs)[0][..., 0]


def decay_of_part(
    log_decay: Float[Array, "B L H"] | Float[Array, "B L H K"],
    valid: Bool[Array, "B L"] | None = None,
) -> Float[Array, "B H"] | Float[Array, "B H K"]:
    """What all positions together multiply the state by: ``D_L ... D_1``."""
    return jnp.exp(jnp.sum(masked(log_decay, valid), axis=1))


def masked(x: Float[Array, "B L *rest"], valid: Bool[Array, "B L"] | None) -> Array:
    """Zeros at padded positions: what they write, and the logs of their decays."""
    if valid is None:
        return x
    return jnp.where(valid.reshape(*valid.shape, *[1] * (x.ndim - 2)), x, 0)


def _written(state, key, value, log_decay):
    return Decays(log_decay).carried(state) + contract(key, value, 0, 0)


def _step(state, given):
    query, *written = given
    state = _written(state, *written)
    return state, contract(query, state, 1, 0)


def _recurrent(query, key, value, log_decay, state, chunk):
    return in_blocks(_step, 1, state, (query, key, value, log_decay))


def _block(state, given):
    query, key, value, log_decay = given
    decays, last = Decays(log_decay), [range(len(key))]
    outputs = contract(decays.seen(key, query, last), value, 0, 0)
    outputs = outputs + contract(decays.of_state(query, last), state, 1, 0)
    return decays.carried(state) + contract(decays.to_end(key), value, 0, 0), outputs


def _blocks(query, key, value, log_decay, state, chunk):
    by_key = log_decay is not None and log_decay.ndim == key.ndim
    block = SMALLER_BLOCK if by_key else BLOCK
    return in_blocks(_block, block, state, (query, key, value, log_decay))


def _group(state, given):
    query, key, value, log_decay = given
    logs = Logs(log_decay, key)
    inside = decayed_products(query, key, logs.after, logs.after) @ value
    added = jnp.swapaxes(logs.to_end(key), -1, -2) @ value

    def step(state, given):
        whole, added = given
        return decayed(state, whole) + added, state

    state, before = lax.scan(step, state, (logs.whole, added))
    return state, inside + logs.from_start(query) @ before


def _chunked(query, key, value, log_decay, state, chunk):
    return over_chunks(_group, chunk, state, (query, key, value, log_decay))


def suits_steps(query: Float[Array, "B L H K"], *_: object) -> bool:
    """Whether a step a position is what to take."""
    length = query.shape[1]
    return length <= FEW_POSITIONS or (length < LONG and suits_blocks(query))


def suits_blocks(query: Float[Array, "B L H K"], *_: object) -> bool:
    """Whether blocks of rows are faster than chunks."""
    return platform() == "cpu" and query.shape[-1] <= FEW_KEYS


MATRIX_STATE = Operation(
    "matrix state",
    {
        "recurrent": Form(_recurrent, suits=suits_steps),
        "blocks": Form(_blocks, suits=suits_blocks),
        "chunked": Form(_chunked, refusal=lambda *arguments: not_a_power_of_2(arguments[-1])),
    },
)
"""Of (query, key, value, log_decay, state, chunk)."""
