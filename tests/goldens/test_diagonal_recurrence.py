"""Our diagonal recurrence against other people's, as make_diagonal_recurrence.py stored them."""

import jax
import jax.numpy as jnp
import pytest

from seqmodels.ops.diagonal_recurrence import diagonal_recurrence
from seqmodels.ops.fft_convolution import fft_convolution
from seqmodels.ops.state_spaces import diagonal_state_space, selective_state_space
from tests.goldens.stored import Recorded


def test_is_the_scan_of_recurrentgemma():
    def run(a, b, state):
        h, last = diagonal_recurrence(a, b, state)
        return {"h": h, "state": last}

    Recorded("diagonal_recurrence", "real/recurrentgemma").check(run)


def test_is_the_scan_of_logs():
    def run(log_a, log_b):
        h, _ = diagonal_recurrence(jnp.exp(log_a), jnp.exp(log_b), jnp.zeros_like(log_a[:, 0]))
        return {"h": h}

    Recorded("diagonal_recurrence", "log/minGRU").check(run)


@pytest.mark.parametrize("name", ["selective/mamba", "selective/transformers"])
def test_is_mambas_selective_scan(name):
    def run(x, delta, A, B, C, D, z, delta_bias):
        delta = jax.nn.softplus(delta + delta_bias[None, None])
        empty = jnp.zeros((len(x), A.shape[1], A.shape[0]))
        y, last = selective_state_space(delta, A, B, C, x, empty)
        return {"out": (y + D[None, None] * x) * jax.nn.silu(z), "state": jnp.swapaxes(last, 1, 2)}

    Recorded("diagonal_recurrence", name).check(run)


def test_its_answer_to_an_impulse_is_the_filter_of_s4d():
    case = Recorded("diagonal_recurrence", "s4d/s4")
    D, L = case.outputs["filters"].shape

    def run(C, log_dt, log_A_real, A_imag):
        poles = jax.lax.complex(-jnp.exp(log_A_real), A_imag)
        step = jnp.exp(log_dt)[:, None] * poles
        factors = 2 * jax.lax.complex(C[..., 0], C[..., 1]) * (jnp.exp(step) - 1) / poles
        decay, factors = jnp.exp(step).T, factors.T  # [N, D]
        empty = jnp.zeros((1, *decay.shape))
        y, _ = diagonal_state_space(
            (decay.real, decay.imag),
            (factors.real, factors.imag),
            jnp.zeros((1, L, D)).at[:, 0].set(1.0),
            (empty, empty),
        )
        return {"filters": y[0].T}

    case.check(run)


def test_the_fft_convolution_is_hyenas():
    def run(x, filters, skip):
        return {"out": fft_convolution(x, filters) + skip[None, None] * x}

    Recorded("diagonal_recurrence", "fft/safari").check(run)
