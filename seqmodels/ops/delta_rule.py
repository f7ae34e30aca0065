"""A matrix as the state, with erasing: delta rules.

    S_t = (D_t + a_t b_t^T) S_{t-1} + k_t v_t^T        o_t = S_t^T q_t        t = 1 ... L

D_t = diag(exp(log_decay_t)), as in :mod:`seqmodels.ops.matrix_state`. Before k writes v, b reads
what the state holds, ``u_t = S_{t-1}^T b_t``, and a takes it away. DeltaNet (Schlag et al. 2021;
Yang et al. 2024) has ``a = -beta k``, ``b = k`` and writes ``beta v``; Gated DeltaNet (Yang et al.
2025) and KDA (Kimi Team 2025) ``b = D k``: they erase after the decay; RWKV-7 (Peng et al. 2025)
has a and b of their own; DeltaProduct (Siems et al. 2025) several such steps a token, with the
decay in the first. State and sums are float32.

:data:`DELTA_RULE` has its forms, as there. The chunked one follows from

    u_i = b_i^T P_{i-1} S_0 + sum_{j<i} b_i^T P_{i-1} / P_j (a_j u_j^T + k_j v_j^T)

with P_i = D_i ... D_1 from the chunk's start: a unit triangular system for all u of a chunk (Yang
et al. 2024, section 3; Bischof and Van Loan 1987).
"""

from functools import partial

import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Bool, Float
from seqmodels.ops.chunks import (
    Logs,
    decayed,
    decayed_products,
    not_a_power_of_2,
    over_chunks,
    unit_inverse,
)
from seqmodels.ops.forms import Form, Operation
from seqmodels.ops.matrix_state import LogDecay, masked, suits_blocks, suits_steps
from seqmodels.ops.rows import SMALLER_BLOCK, Decays, contract, in_blocks, norm, scaled, substituted
from seqmodels.ops.summaries import MATRICES, by_summaries


def delta_rule(
    query: Float[Array, "B L H K"],
    key: Float[Array, "B nL H K"],
    value: Float[Array, "B nL H U"],
    erase: Float[Array, "B nL H"] | Float[Array, "B nL H K"],
    reads: Float[Array, "B nL H K"],
    log_decay: LogDecay,
    state: Float[Array, "B H K U"],
    valid: Bool[Array, "B L"] | None = None,
    *,
    chunk: int = 64,
    form: str | None = None,
) -> tuple[Float[Array, "B L H U"], Float[Array, "B H K U"]]:
    """Every ``o_t``, and the last state in float32.

    Args:
      erase: a, or the number that makes it of the key: ``a_t = erase_t k_t``.
      reads: b.
      log_decay: that of each token's first step; a token may have n of them, one after another,
        and is read out after the last.
      valid: a padded position leaves the state as it is.
      chunk: as of :func:`~seqmodels.ops.matrix_state.matrix_state`, in steps.
      form: one in DELTA_RULE; ParameterError where it can't serve.
    """
    key, erase, log_decay = _masked(key, erase, log_decay, valid)
    state = state.astype(jnp.float32)
    given = (query, key, value, erase, reads, log_decay, state, chunk)
    outputs, state = DELTA_RULE(*given, form=form)
    return outputs.astype(query.dtype), state


def delta_norms(
    key: Float[Array, "B nL H K"],
    value: Float[Array, "B nL H U"],
    erase: Float[Array, "B nL H"] | Float[Array, "B nL H K"],
    reads: Float[Array, "B nL H K"],
    log_decay: LogDecay,
    state: Float[Array, "B H K U"],
    valid: Bool[Array, "B L"] | None = None,
    *,
    steps: int = 1,
) -> Float[Array, "B L H"]:
    """The Frobenius norm of every ``S_t`` after the last of a token's n steps.

    Step by step: no other form has the states between.
    """
    freely = erase.ndim == key.ndim
    key, erase, log_decay = _masked(key, erase, log_decay, valid)

    def step(state, given):
        _, *written = given
        state = _replaced(freely, state, *written)
        return state, norm(state)

    tokens = jnp.zeros((*key.shape[:2], key.shape[2], 1))[:, ::steps]  # says how many there are
    inputs = (tokens, key, value, erase, reads, log_decay)
    return in_blocks(step, 1, state.astype(jnp.float32), inputs)[0][..., 0]


def _masked(key, erase, log_decay, valid):
    """So that a padded token's n steps neither forget, erase nor write."""
    if valid is None:
        return key, erase, log_decay
    of_steps = jnp.repeat(valid, key.shape[1] // valid.shape[1], axis=1)
    log_decay = None if log_decay is None else masked(log_decay, valid)
    return masked(key, of_steps), masked(erase, of_steps), log_decay


def _replaced(freely, state, *written):
    """The state after a token: keys, values, erasers and readers have n steps."""
    *of_steps, log_decay = written
    for number in range(len(of_steps[0])):
        key, value, erase, reads = (x[number : number + 1] for x in of_steps)
        held = contract(reads, state, 1, 0)
        state = state if number else Decays(log_decay).carried(state)
        if freely:
            state = state + contract(erase, held, 0, 0)
        else:
            value = value + scaled(held, erase)
        state = state + contract(key, value, 0, 0)
    return state


def _step(freely, state, given):
    query, *written = given
    state = _replaced(freely, state, *written)
    return state, contract(query, state, 1, 0)


def _recurrent(query, key, value, erase, reads, log_decay, state, chunk):
    given = (query, key, value, erase, reads, log_decay)
    return in_blocks(partial(_step, erase.ndim == key.ndim), 1, state, given)


def _block(freely, state, given):
    """Of some tokens: keys, values, erasers and readers have n steps of each."""
    query, key, value, erase, reads, log_decay = given
    C, steps = len(key), len(key) // len(query)
    if log_decay is not None and steps > 1:
        others = ((0, 0), (0, steps - 1), (0, 0), (0, 0))
        log_decay = jnp.pad(log_decay[:, None], others).reshape(C, *log_decay.shape[1:])
    decays = Decays(log_decay)
    readers = jnp.concatenate([reads, query])
    last = [range(-1, C - 1), range(steps - 1, C, steps)]
    of_state = contract(decays.of_state(readers, last), state, 1, 0)
    held, outputs = of_state[:C], of_state[C:]
    seen = decays.seen(key, readers, last)
    if freely:
        erased = decays.seen(erase, readers, last)
        held = substituted(erased[:, :C], held + contract(seen[:, :C], value, 0, 0))
        written = [(key, seen, value), (erase, erased, held)]
    else:
        lower = scaled(seen[:, :C], jnp.swapaxes(erase, 0, 1))
        written = [(key, seen, substituted(lower, value + scaled(held, erase)))]
    state = decays.carried(state)
    for keys, seen, values in written:
        outputs = outputs + contract(seen[:, C:], values, 0, 0)
        state = state + contract(decays.to_end(keys), values, 0, 0)
    return state, outputs


def _blocks(query, key, value, erase, reads, log_decay, state, chunk):
    block = max(SMALLER_BLOCK * query.shape[1] // key.shape[1], 1)
    given = (query, key, value, erase, reads, log_decay)
    return in_blocks(partial(_block, erase.ndim == key.ndim), block, state, given)


def _group(state, given):
    query, key, value, erase, reads, log_decay = given
    logs = Logs(log_decay, key)
    freely = erase.ndim == key.ndim
    written = decayed_products(reads, key, logs.before, logs.after, strict=True)
    if freely:
        erased = decayed_products(reads, erase, logs.before, logs.after, strict=True)
    else:
        erased = written * erase[..., None, :]
    inverse = unit_inverse(erased)
    held = inverse @ (written @ value)
    of_state = inverse @ logs.from_start(reads, before=True)
    keys, erasers = logs.to_end(key), logs.to_end(erase) if freely else None

    def both(held, value, erase):
        """What is written, when so much is held: values beside keys, and what a takes away."""
        return value if freely else value + erase[..., None] * held

    def step(state, given):
        held, of_state, value, keys, erase, erasers, whole = given
        held = held + of_state @ state
        after = decayed(state, whole)
        after = after + jnp.swapaxes(keys, -1, -2) @ both(held, value, erase)
        if erasers is not None:
            after = after + jnp.swapaxes(erasers, -1, -2) @ held
        return after, (state, held)

    of_chunks = (held, of_state, value, keys, erase, erasers, logs.whole)
    state, (before, held) = lax.scan(step, state, of_chunks)
    outputs = logs.from_start(query) @ before
    seen = decayed_products(query, key, logs.after, logs.after)
    outputs = outputs + seen @ both(held, value, erase)
    if freely:
        outputs = outputs + decayed_products(query, erase, logs.after, logs.after) @ held
    return state, outputs


def _chunked(query, key, value, erase, reads, log_decay, state, chunk):
    steps = key.shape[1] // query.shape[1]

    def among_steps(x, place):
        """A token's, at one of its steps, and zeros at the others."""
        if x is None or steps == 1:
            return x
        padding = ((0, 0), (0, 0), (place, steps - 1 - place), *[(0, 0)] * (x.ndim - 2))
        return jnp.pad(x[:, :, None], padding).reshape(len(x), -1, *x.shape[2:])

    query, log_decay = among_steps(query, steps - 1), among_steps(log_decay, 0)
    inputs = (query, key, value, erase, reads, log_decay)
    outputs, state = over_chunks(_group, chunk, state, inputs)
    return outputs[:, steps - 1 :: steps], state


def _across(run, *given):
    """By summaries, or by rows."""
    *sequences, state, chunk = given
    size = sequences[0].shape[:2]

    def again(sequences, state, _):
        return run(*sequences, state, chunk)

    summary = partial(summary_of_part, again)
    return by_summaries(MATRICES, again, summary, tuple(sequences), state, (), size)


def summary_of_part(run, sequences, begin, weights=()):
    """What all steps multiply the state by, [B, H, K, K], and what they make of ``begin``.

    The first is what they make of the identity, when they write nothing: beside ``begin`` it is K
    more columns of the state.
    """
    query, key, value, *rest = sequences
    *rows, K, U = begin.shape
    identity = jnp.broadcast_to(jnp.eye(K)[None, None], (*rows, K, K))
    nothing = jnp.zeros((*value.shape[:-1], K), value.dtype)
    sequences = (query, key, jnp.concatenate([value, nothing], axis=-1), *rest)
    _, both = run(sequences, jnp.concatenate([begin, identity], axis=-1), weights)
    return both[..., U:], both[..., :U]


DELTA_RULE = Operation(
    "delta rule",
    {
        "recurrent": Form(_recurrent, suits=suits_steps),
        "blocks": Form(_blocks, suits=suits_blocks),
        "chunked": Form(_chunked, refusal=lambda *arguments: not_a_power_of_2(arguments[-1])),
    },
    _across,
)
"""Of (query, key, value, erase, reads, log_decay, state, chunk)."""
