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
from seqmodels.ops.chunks import (
    Logs,
    decayed,
    decayed_products,
    lower_triangle,
    not_a_power_of_2,
    over_chunks,
)
from seqmodels.ops.forms import Form, Operation
from seqmodels.ops.platform import platform
from seqmodels.ops.rows import BLOCK, SMALLER_BLOCK, Decays, contract, in_blocks, norm
from seqmodels.ops.summaries import FACTORS, by_summaries

LogDecay = Float[Array, "B L H"] | Float[Array, "B L H K"] | None
"""The logs of decays in float32, at most 0: one a head, or one for each key feature; or none."""
FEW_POSITIONS = 16
"""Up to so many positions are read one by one, wherever that runs."""
FEW_KEYS = 64
"""Up to so many rows of the state blocks are faster than chunks on CPU, where each row has a decay
of its own or something is erased (docs/mixers.md)."""
FEW_NUMBERS = 1280
"""Elsewhere they are up to so many numbers of the state."""


def matrix_state(
    query: Float[Array, "B L G K"],
    key: Float[Array, "B L G K"],
    value: Float[Array, "B L H U"],
    log_decay: LogDecay,
    state: Float[Array, "B H K U"],
    valid: Bool[Array, "B L"] | None = None,
    *,
    chunk: int = 64,
    form: str | None = None,
) -> tuple[Float[Array, "B L H U"], Float[Array, "B H K U"]]:
    """Every ``o_t``, and the last state in float32.

    G divides H: each key and query is shared by H / G heads that follow one another; a decay a key
    takes G = H. A padded position leaves the state as it is. ``chunk`` positions, a power of 2, are
    computed at once by the chunked form. ``form`` names one in MATRIX_STATE; it raises
    ParameterError where that one can't serve.
    """
    key, state = masked(key, valid), state.astype(jnp.float32)
    log_decay = None if log_decay is None else masked(log_decay, valid)
    outputs, state = MATRIX_STATE(query, key, value, log_decay, state, chunk, form=form)
    return outputs.astype(query.dtype), state


def matrix_norms(
    key: Float[Array, "B L G K"],
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

    inputs = (_by_head(key, value).astype(jnp.float32), value, log_decay)
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


def _by_head(x: Float[Array, "B L G K"], value: Float[Array, "B L H U"]) -> Array:
    """What heads share, once for each of them."""
    return jnp.repeat(x, value.shape[2] // x.shape[2], axis=2)


def _written(state, key, value, log_decay):
    return Decays(log_decay).carried(state) + contract(key, value, 0, 0)


def _step(state, given):
    query, *written = given
    state = _written(state, *written)
    return state, contract(query, state, 1, 0)


def _recurrent(query, key, value, log_decay, state, chunk):
    query, key = _by_head(query, value), _by_head(key, value)
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
    query, key = _by_head(query, value), _by_head(key, value)
    return in_blocks(_block, block, state, (query, key, value, log_decay))


def _group(state, given):
    """Chunks whose keys take the decays."""
    query, key, value, log_decay = given
    logs = Logs(log_decay, key)
    inside = decayed_products(query, key, logs.after, logs.after) @ value
    added = jnp.swapaxes(logs.to_end(key), -1, -2) @ value

    def step(state, given):
        whole, added = given
        return decayed(state, whole) + added, state

    state, before = lax.scan(step, state, (logs.whole, added))
    return state, inside + logs.from_start(query) @ before


def _shared_group(state, given):
    """The same with one decay a head, which values take: what heads share stays one.

    Of R heads that share keys states are [B, G, K, R U] here, and one product writes or reads them.
    """
    query, key, value, log_decay = given
    *chunks, H, C, U = value.shape
    K, G = key.shape[-1], key.shape[-3]
    R = H // G

    def side_by_side(x):
        return jnp.moveaxis(x.reshape(*x.shape[:-3], G, R, *x.shape[-2:]), -3, -2)

    def by_head(x):  # [*chunks, G, C, R U]
        return jnp.moveaxis(x.reshape(*chunks, G, C, R, U), -2, -3).reshape(*chunks, H, C, U)

    def joined(x):  # [..., R, U]
        return x.reshape(*x.shape[:-2], R * U)

    logs = Logs(log_decay, key)
    products, values = query @ jnp.swapaxes(key, -1, -2), side_by_side(value)
    if logs.after is None:
        inside = by_head(lower_triangle(products) @ joined(values))
        after = None
    else:
        by_pair = lower_triangle(logs.after - jnp.swapaxes(logs.after, -1, -2))
        by_pair = jnp.exp(by_pair).reshape(*chunks, G, R, C, C)
        weights = lower_triangle(products[..., None, :, :] * by_pair)
        inside = weights.reshape(*chunks, H, C, C) @ value
        after = side_by_side(logs.after)  # [*chunks, G, C, R, 1]
        values = values * jnp.exp(after[..., -1:, :, :] - after)
    added = jnp.swapaxes(key, -1, -2) @ joined(values)

    def step(state, given):
        whole, added = given
        kept = state if whole is None else joined(state.reshape(-1, G, K, R, U) * jnp.exp(whole))
        return kept + added, state

    state = joined(jnp.swapaxes(state.reshape(-1, G, R, K, U), 2, 3))
    state, before = lax.scan(step, state, (None if after is None else after[..., -1:, :, :], added))
    read = (query @ before).reshape(*chunks, G, C, R, U)
    if after is not None:
        read = read * jnp.exp(after)
    state = jnp.swapaxes(state.reshape(-1, G, K, R, U), 2, 3).reshape(-1, H, K, U)
    return state, inside + by_head(read)


def _chunked(query, key, value, log_decay, state, chunk):
    by_key = log_decay is not None and log_decay.ndim == key.ndim
    G, H, K, U = *key.shape[2:3], *state.shape[1:]
    # Decays are taken by the narrower of keys and values.
    group = _group if by_key or (G == H and K <= U) else _shared_group
    return over_chunks(group, chunk, state, (query, key, value, log_decay))


def suits_steps(query: Float[Array, "B L H K"], *_: object) -> bool:
    """Whether a step a position is what to take."""
    return query.shape[1] <= FEW_POSITIONS


def suits_blocks(
    query: Float[Array, "B L G K"],
    key: Float[Array, "B nL G K"],
    value: Float[Array, "B nL H U"],
    *_: object,
) -> bool:
    """Whether blocks of rows are faster than chunks, where keys that heads share stay one."""
    shared = value.shape[2] > key.shape[2]
    return platform() == "cpu" and query.shape[-1] <= FEW_KEYS and not shared


def _suits_blocks_unerased(query, key, value, log_decay, *_):
    """The same, of a state from which nothing is erased."""
    by_key = log_decay is not None and log_decay.ndim == key.ndim
    few = by_key or key.shape[-1] * value.shape[-1] <= FEW_NUMBERS
    return few and suits_blocks(query, key, value)


def _across(run, query, key, value, log_decay, state, chunk):
    """By summaries, or by rows."""

    def again(sequences, state, _):
        return run(*sequences, state, chunk)

    def summary(sequences, begin, _):
        log_decay = sequences[-1]
        if log_decay is None:
            product = jnp.ones((1,) * begin.ndim)
        else:
            product = decay_of_part(log_decay)
            product = product.reshape(*product.shape, *[1] * (begin.ndim - product.ndim))
        return product, again(sequences, begin, ())[1]

    sequences = (query, key, value, log_decay)
    return by_summaries(FACTORS, again, summary, sequences, state, (), query.shape[:2])


MATRIX_STATE = Operation(
    "matrix state",
    {
        "recurrent": Form(_recurrent, suits=suits_steps),
        "blocks": Form(_blocks, suits=_suits_blocks_unerased),
        "chunked": Form(_chunked, refusal=lambda *arguments: not_a_power_of_2(arguments[-1])),
    },
    _across,
)
"""Of (query, key, value, log_decay, state, chunk)."""
