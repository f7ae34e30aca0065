"""Our matrix state with erasing against other people's, as make_delta_rule.py stored them."""

import jax.numpy as jnp
import pytest
from jax import lax

from seqmodels.ops.delta_rule import delta_rule
from tests.goldens.stored import Recorded

SCALE = 6**-0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "delta/fla",
        "gated_delta/fla",
        "gated_delta/transformers",
        "gated_delta_normalised/transformers",
        "kda/fla",
        "kda/transformers",
    ],
)
def test_is_deltanet_gated_deltanet_and_kda(name):
    case = Recorded("delta_rule", name)

    def normalised(x):
        return x * lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-6)

    def run(q, k, v, beta, state, g=None):
        if "normalised" in case.settings:
            q, k = normalised(q), normalised(k)
        reads = k
        if g is not None:  # they erase after the decay
            reads = k * jnp.exp(g if g.ndim == k.ndim else g[..., None])
        o, last = delta_rule(SCALE * q, k, beta[..., None] * v, -beta, reads, g, state)
        return {"o": o, "state": last}

    case.check(run)


@pytest.mark.slow
def test_what_erases_and_what_reads_may_be_free():
    def run(q, k, v, a, b, g, state):
        o, last = delta_rule(SCALE * q, k, v, a, b, g, state)
        return {"o": o, "state": last}

    Recorded("delta_rule", "free/fla").check(run)


@pytest.mark.slow
def test_several_steps_a_token_are_deltaproducts():
    def run(q, k, v, beta, state, g):
        first = jnp.exp(jnp.stack([g, jnp.zeros_like(g)], axis=2)).reshape(beta.shape)
        values = beta[..., None] * v
        o, last = delta_rule(q, k, values, -beta, first[..., None] * k, g, state)
        return {"o": o, "state": last}

    Recorded("delta_rule", "product/fla").check(run)
