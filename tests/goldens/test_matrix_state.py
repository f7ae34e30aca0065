"""Our matrix state without erasing against other people's, as make_matrix_state.py stored them."""

import jax
import jax.numpy as jnp
import pytest

from seqmodels.ops.matrix_state import matrix_state
from tests.goldens.stored import Recorded


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear/fla", "scalar/fla", "scalar/mamba", "diagonal/fla"])
def test_is_linear_attention_mamba_2_and_gla(name):
    case = Recorded("matrix_state", name)

    def run(q, k, v, state, g=None):
        o, last = matrix_state(case.settings["scale"] * q, k, v, g, state)
        return {"o": o, "state": last}

    case.check(run)


@pytest.mark.parametrize("name", ["retention/fla", "lightning/transformers"])
def test_fixed_decays_are_retnets_and_minimaxs(name):
    case = Recorded("matrix_state", name)

    def run(q, k, v):
        B, L, H, K = q.shape
        g = case.settings.get("g", jnp.log(1 - 2.0 ** (-5 - jnp.arange(H))))
        g = jnp.broadcast_to(g.reshape(1, 1, H), (B, L, H))
        empty = jnp.zeros((B, H, K, v.shape[-1]))
        o, last = matrix_state(case.settings["scale"] * q, k, v, g, empty)
        return {"o": o, "state": last} if "state" in case.outputs else {"o": o}

    case.check(run)


def test_the_normaliser_is_a_value_of_ones():
    case = Recorded("matrix_state", "normalised/fla")

    def run(q, k, v, state, keys):
        v = jnp.concatenate([v, jnp.ones_like(v[..., :1])], axis=-1)
        state = jnp.concatenate([state, keys[..., None]], axis=-1)
        o, last = matrix_state(case.settings["scale"] * q, k, v, None, state)
        return {"o": o[..., :-1] / o[..., -1:], "state": last[..., :-1], "keys": last[..., -1]}

    case.check(run)


@pytest.mark.slow
def test_steps_and_skips_are_mamba_2s():
    case = Recorded("matrix_state", "mamba2/transformers")

    def run(x, delta, A, B, C, D, delta_bias, state):
        delta = jax.nn.softplus(delta + delta_bias[None, None])
        B, C = (jnp.broadcast_to(it, (*x.shape[:3], it.shape[-1])) for it in (B, C))
        o, last = matrix_state(C, B, x * delta[..., None], delta * A[None, None], state)
        return {"o": o + D[None, None, :, None] * x, "state": last}

    case.check(run)
