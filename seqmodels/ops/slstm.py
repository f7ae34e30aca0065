"""sLSTM: an LSTM with exponential gates and a normaliser, in heads.

    i, f, z, o = x_t + h_{t-1} R           (R within each head)
    c_t = sigmoid(f) c_{t-1} + exp(i) tanh(z)      n_t = sigmoid(f) n_{t-1} + exp(i)
    h_t = sigmoid(o) c_t / n_t

c and n are kept times exp(-m_t), where ``m_t = max(log sigmoid(f) + m_{t-1}, i)``, so that nothing
overflows; h doesn't depend on m (Beck et al. 2024, section 2.2). State and sums are float32.
"""

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Bool, Float
from seqmodels.ops.forms import Form, Operation
from seqmodels.ops.stepwise import run_steps
from seqmodels.ops.wavefront import in_wavefront

CHUNK = 64
"""Positions between the states that are kept for the backward pass."""
LOWEST = -1e30
"""m before anything has been let in."""

States = tuple[
    Float[Array, "B H K"], Float[Array, "B H K"], Float[Array, "B H K"], Float[Array, "B H K"]
]


def slstm(
    inputs: Float[Array, "B L gates H K"],
    weights: Float[Array, "H K gates K"],
    state: States,
    valid: Bool[Array, "B L"] | None = None,
    form: str | None = None,
) -> tuple[Float[Array, "B L H K"], States]:
    """Every h, and the last (h, c, n, m) in float32; padding leaves them as they are.

    The four gates are in the order i, f, z, o. ``form`` names one in SLSTM.
    """
    if valid is None:
        valid = jnp.ones(inputs.shape[:2], bool)
    outputs, last = SLSTM(inputs, weights, jnp.stack(state, axis=1), valid, form=form)
    return outputs, (last[:, 0], last[:, 1], last[:, 2], last[:, 3])


def log_forget(
    inputs: Float[Array, "B L gates H K"],
    weights: Float[Array, "H K gates K"],
    h: Float[Array, "B H K"],
    outputs: Float[Array, "B L H K"],
) -> Float[Array, "B L H K"]:
    """``log sigmoid(f_t)``, by the h before the first position and those after each."""
    before = jnp.concatenate([h[:, None], outputs[:, :-1].astype(jnp.float32)], axis=1)
    recurrent = jnp.einsum("blhk,hkj->blhj", before, weights[:, :, 1].astype(jnp.float32))
    return jax.nn.log_sigmoid(inputs[:, :, 1].astype(jnp.float32) + recurrent)


def _step(weights, state, given):
    """State [4, B, H, K]: as one array, since a loop's gradient is slow with several."""
    x, valid = given
    h, c, n, m = state
    m = lax.stop_gradient(m)
    recurrent = jnp.einsum("bhk,hkgj->bghj", h, weights.astype(jnp.float32))
    i, f, z, o = jnp.moveaxis(x.astype(jnp.float32) + recurrent, 1, 0)
    kept = jax.nn.log_sigmoid(f) + m
    largest = lax.stop_gradient(jnp.maximum(kept, i))
    let_in, kept = jnp.exp(i - largest), jnp.exp(kept - largest)
    c, n = kept * c + let_in * jnp.tanh(z), kept * n + let_in
    h = jax.nn.sigmoid(o) * c / n
    after = jnp.where(valid.reshape(1, -1, 1, 1) > 0, jnp.stack([h, c, n, largest]), state)
    return after, after[0].astype(x.dtype)


def _steps(inputs, weights, state, valid):
    by_time = jnp.swapaxes(inputs, 0, 1), valid.T.astype(jnp.float32)
    last, outputs = run_steps(_step, CHUNK, weights, jnp.swapaxes(state, 0, 1), by_time)
    return jnp.swapaxes(outputs, 0, 1), jnp.swapaxes(last, 0, 1)


def _across(run, inputs, weights, state, valid):
    """In a wavefront, or by rows."""

    def again(inputs, valid, state, weights):
        return run(inputs, weights, state, valid)

    return in_wavefront(again, inputs, valid, state, weights)


SLSTM = Operation("slstm", {"steps": Form(_steps)}, _across, by_rows=True)
"""Of (inputs, weights, states [B, 4, H, K], valid)."""
