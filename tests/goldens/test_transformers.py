"""Our attention against Hugging Face transformers', on values that make_transformers.py stored."""

import pytest
from flax import nnx

from seqmodels.mixers import Attention
from tests.goldens.stored import Stored


@pytest.mark.parametrize("shared", [4, 2, 1])
def test_rotary_positions_and_shared_heads_are_llamas(shared):
    case = Stored("transformers", f"rotary-4-{shared}")
    params = {
        "queries": case.heads("q_proj", 4),
        "keys": case.heads("k_proj", shared),
        "values": case.heads("v_proj", shared),
        "outputs": case.joined("o_proj", 4),
    }

    def make():
        return Attention(16, 4, None, True, "rotary", shared, rngs=nnx.Rngs(0))

    case.check(make, params, lambda mixer, x: mixer(x))


@pytest.mark.parametrize("heads", [4, 6])
def test_alibi_is_blooms(heads):
    """Bloom has each head's query, key and value side by side."""
    case, width = Stored("transformers", f"alibi-{heads}"), 4 * heads
    fused = case.heads("query_key_value", heads)
    params = {"outputs": case.joined("dense", heads)}
    for index, part in enumerate(("queries", "keys", "values")):
        own = slice(4 * index, 4 * index + 4)
        params[part] = {name: array[..., own] for name, array in fused.items()}

    def make():
        return Attention(width, heads, None, True, "alibi", rngs=nnx.Rngs(0))

    case.check(make, params, lambda mixer, x: mixer(x))
