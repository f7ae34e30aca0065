"""Attention that forgets, and with sinks, against other people's (make_attention.py)."""

import jax.numpy as jnp
import pytest

from seqmodels.mixers.forgetting import with_bias
from seqmodels.ops.attention.dot_product import attention, attention_and_sums
from seqmodels.ops.attention.sinks import join_sinks
from tests.goldens.stored import Recorded


@pytest.mark.parametrize("name", ["forgetting/whole", "forgetting/window"])
def test_is_forgetting_attention(name):
    case = Recorded("attention", name)
    scale, window = float(case.settings["scale"]), case.settings.get("window")
    window = None if window is None else int(window)

    def run(q, k, v, g):
        q, k = with_bias(q, k, -jnp.cumsum(g, axis=1), scale)
        v = jnp.repeat(v, q.shape[2] // v.shape[2], axis=2)
        return {"o": attention(q, k, v, causal=True, window=window, scale=scale)}

    case.check(run)


@pytest.mark.parametrize("name", ["sinks/fla", "sinks/transformers"])
def test_a_learned_sink_is_gpt_oss(name):
    case = Recorded("attention", name)
    scale, window = float(case.settings["scale"]), int(case.settings["window"])

    def run(q, k, v, sinks):
        out, sums = attention_and_sums(q, k, v, causal=True, window=window, scale=scale)
        none = jnp.zeros((*q.shape[:3], 0)), v[:, :0]
        return {"o": join_sinks(out, sums, *none, sinks)}

    case.check(run)
