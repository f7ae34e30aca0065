"""A matrix as the state, without erasing.

    S_t = D_t S_{t-1} + k_t v_t^T        o_t = S_t^T q_t        t = 1 ... L

S [K, U] is what keys have written of values, and D_t = diag(exp(log_decay_t)), one decay a head or
one for each of the K rows. Linear attention (Katharopoulos et al. 2020) has none, retention (Sun et
al. 2023) and Mamba-2 (Dao and Gu 2024) one a head, gated linear attention (Yang et al. 2024) one a
row. State and sums are float32.

:data:`MATRIX_STATE` has its forms: step by step (:mod:`seqmodels.ops.rows`), and products of
matrices a chunk at a time (:mod:`seqmodels.ops.chunks`).
"""

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Bool, Float
from seqmodels.ops import rows
from seqmodels.ops.chunks import Logs, decayed, decayed_products, not_a_power_of_2, over_chunks
from seqmodels.ops.forms import Form, Operation
from seqmodels.ops.platform import platform

LogDecay = Float[Array, "B L H"] | Float[Array, "B L H K"] | None
"""The logs of decays in float32, at most 0: one a head, or one for each key feature; or none."""
FEW_POSITIONS = 16
"""Up to so many positions are read one by one, wherever that runs."""
FEW_KEYS = 64
"""Up to so many rows of the state steps are faster than chunks on CPU, where each has a decay."""
FEW_SIMPLE_KEYS = 16
"""The same where they share one, or have none: a chunk is then a few products of matrices."""


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
    """The Frobenius norm of every ``S_t``, step by step: no form keeps the states between."""
    key, log_decay = jax.tree.map(lambda x: masked(x, valid), (key, log_decay))
    inputs = rows.by_time((key, value, log_decay))
    return rows.norms_in_steps(_write, state.astype(jnp.float32), inputs)


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


def _write(state, given):
    key, value = (x.astype(jnp.float32) for x in given[:2])
    return rows.fenced(rows.decayed(state, given[2]) + rows.outer(key, value))


def _step(_, state, given):
    query, *written = given
    state = _write(state, written)
    return state, rows.read(state, query.astype(jnp.float32)).astype(query.dtype)


def _recurrent(query, key, value, log_decay, state, chunk):
    inputs = rows.by_time((query, key, value, log_decay))
    return rows.in_steps(_step, state, inputs)


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


def is_fast_step_by_step(query: Float[Array, "B L H K"], most: int) -> bool:
    """Whether steps are faster than chunks: for few positions, and on CPU up to so many keys."""
    few = query.shape[1] <= FEW_POSITIONS
    return few or (platform() == "cpu" and query.shape[-1] <= most)


def _suits_steps(query, key, value, log_decay, *_):
    by_key = log_decay is not None and log_decay.ndim == key.ndim
    return is_fast_step_by_step(query, FEW_KEYS if by_key else FEW_SIMPLE_KEYS)


MATRIX_STATE = Operation(
    "matrix state",
    {
        "recurrent": Form(_recurrent, suits=_suits_steps),
        "chunked": Form(_chunked, refusal=lambda *arguments: not_a_power_of_2(arguments[-1])),
    },
)
"""Of (query, key, value, log_decay, state, chunk)."""
