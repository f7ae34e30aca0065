"""What a mixer says that it costs, against what can be counted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.flops import matmul_flops
from tests.mixers.variants import CASES, LENGTH, WIDTH, build, make, pure

# Masked scores are computed too, and thrown away: no more of them than without masks.
COMPUTED = {"attention": {"causal": False, "window": None}}


def summed(mixer, length: int) -> float:
    """Operations of local attention's sums, which are no matrix products."""
    if type(mixer).__name__ == "NeighbourhoodAttention":
        return length * mixer.extent.kernel[0] * 4 * WIDTH
    return 0


@pytest.mark.parametrize("name", CASES)
def test_cost_counts_the_matrix_products(name):
    kind, settings = CASES[name]
    mixer = build(name)
    x = jax.ShapeDtypeStruct((1, 64, WIDTH), jnp.float32)
    counted = matmul_flops(mixer.call, mixer.shapes, x)
    dense = make(kind, settings | COMPUTED.get(kind, {}))
    least, most = (m.cost(64).flops - summed(m, 64) for m in (mixer.mixer, dense))
    assert 0.97 * least <= counted <= 1.03 * most


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [1, 5, 64, None])
@pytest.mark.parametrize("length", [1, 5, 63, 130])
def test_attention_costs_what_its_pairs_do(length, window, causal):
    query, key = np.indices((length, length))
    seen = (key <= query) | (not causal)
    if window is not None:
        seen &= key > query - window if causal else abs(key - query) <= window
    cost = make("attention", {"window": window, "causal": causal}).cost(length)
    projections = length * 4 * 2 * WIDTH * WIDTH
    assert cost.flops == projections + seen.sum() * 2 * 2 * WIDTH


ALL_PAIRS = {"plain": True, "causal": False, "window": None}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"kv_heads": 2},
        {"kv_heads": 1, "qk_norm": True},
        {"score": "dot", "heads": 2},
        {"score": "additive", "positions": "none", "kv_heads": 2},
        {"positions": "alibi"},
        {"positions": "relative"},
        {"positions": "relative", "heads": 2, "kv_heads": 1},
    ],
    ids=str,
)
def test_attention_costs_what_it_multiplies(settings):
    """Exactly, where no pair is masked: from both sides, which the masked ones are not."""
    mixer = pure("attention", settings | ALL_PAIRS)
    x = jax.ShapeDtypeStruct((1, 33, WIDTH), jnp.float32)
    assert matmul_flops(mixer.call, mixer.shapes, x) == mixer.mixer.cost(33).flops


@pytest.mark.parametrize("name", CASES)
def test_cost_counts_the_state(name):
    mixer = make(*CASES[name])
    state = jax.eval_shape(lambda: mixer.initial_state(1, LENGTH)) if mixer.has_state else ()
    floats = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    assert {leaf.dtype for leaf in floats} <= {jnp.dtype("float32")}
    assert mixer.cost(LENGTH).state_bytes == sum(4 * leaf.size for leaf in floats)


@pytest.mark.parametrize("name", CASES)
def test_cost_counts_the_steps(name):
    kind, _ = CASES[name]
    known = dict.fromkeys(("rnn", "lstm", "gru"), LENGTH)
    known |= dict.fromkeys(("convolution", "neighbourhood_attention", "attention"), 1)
    depth = make(*CASES[name]).cost(LENGTH).sequential_depth
    assert depth == known[kind] if kind in known else 1 <= depth <= LENGTH
