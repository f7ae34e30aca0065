"""Our attention against Hugging Face transformers', on values that make_transformers.py stored."""

import numpy as np
import pytest
from flax import nnx

from seqmodels.mixers import Attention
from tests.goldens.stored import Stored


def together(*linears):
    """Several linear layers of the same inputs as one."""
    return {
        "weights": np.concatenate([linear["weights"] for linear in linears], axis=1),
        "bias": np.concatenate([linear["bias"] for linear in linears]),
    }


@pytest.mark.parametrize("shared", [4, 2, 1])
def test_rotary_positions_and_shared_heads_are_llamas(shared):
    case = Stored("transformers", f"rotary-4-{shared}")
    params = {
        "inputs": together(*(case.linear(f"{name}_proj") for name in "qkv")),
        "outputs": case.linear("o_proj"),
    }
    make = lambda: Attention(16, 4, None, True, "rotary", shared, rngs=nnx.Rngs(0))  # noqa: E731
    case.check(make, params, lambda mixer, x: mixer(x))


@pytest.mark.parametrize("heads", [4, 6])
def test_alibi_is_blooms(heads):
    """Bloom has each head's query, key and value side by side; we have all queries first."""
    case, width = Stored("transformers", f"alibi-{heads}"), 4 * heads
    fused = case.linear("query_key_value")
    ordered = {
        name: np.moveaxis(array.reshape(*array.shape[:-1], heads, 3, 4), -2, -3).reshape(
            *array.shape[:-1], 3 * width
        )
        for name, array in fused.items()
    }
    params = {"inputs": ordered, "outputs": case.linear("dense")}
    make = lambda: Attention(width, heads, None, True, "alibi", rngs=nnx.Rngs(0))  # noqa: E731
    case.check(make, params, lambda mixer, x: mixer(x))
