"""What a mixer says that it costs, against what can be counted."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.flops import count_flops
from tests.mixers.variants import CASES, LENGTH, WIDTH, make, pure

# Scores that a mask throws away are computed too, and chunks' of matrices.
UNMASKED = {"attention": {"causal": False, "window": None}}
STEPS = ("linear_attention", "retention", "gla", "mamba2", "mamba3", "mlstm", "deltanet", "kda")
STEPS += ("gated_deltanet", "deltaproduct", "rwkv7")
UNMASKED |= {kind: {"form": "recurrent"} for kind in STEPS} | {"s4d": {"form": "sequential"}}
ALWAYS_MASKED = {"forgetting", "sinks"}
WHOLE = [name for name, (_, settings) in CASES.items() if not ALWAYS_MASKED & settings.keys()]


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_a_cost_is_what_the_plain_form_computes(name):
    kind, settings = CASES[name]
    mixer = pure(kind, settings | UNMASKED.get(kind, {}), width=64)
    x = jax.ShapeDtypeStruct((1, 33, 64), jnp.float32)
    needed = mixer.mixer.cost(33).flops
    assert needed <= count_flops(mixer.call, mixer.shapes, x) <= 1.03 * needed


@pytest.mark.parametrize("length", [3, 6, 40])
def test_sinks_cost_what_a_window_has_left(length):
    query, key = np.indices((length, length))
    seen = (key <= query) & ((key > query - 5) | (key < 3))
    cost = make("attention", {"window": 5, "sinks": 3}).cost(length)
    assert cost.flops == length * 4 * 2 * WIDTH * WIDTH + seen.sum() * 2 * 2 * WIDTH


def test_gates_cost_a_product_a_head():
    with_gates, without = (make("attention", {"forgetting": it}).cost(33) for it in (True, False))
    assert with_gates.flops == without.flops + 33 * 2 * WIDTH * 4


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


@pytest.mark.parametrize("axes", [(7, 6), (3, 4, 5)])
@pytest.mark.parametrize("kind", ["convolution", "neighbourhood_attention"])
def test_a_strided_mixer_costs_what_its_outputs_do(kind, axes):
    """On axes that the stride doesn't divide; neighbourhoods compute queries that they drop."""
    kernel, stride = (3,) * len(axes), 2
    settings = {"kernel": kernel, "causal": False, "stride": stride}
    mixer = pure(kind, settings, width=64)
    x = jax.ShapeDtypeStruct((1, *axes, 64), jnp.float32)
    outputs = math.prod(-(-n // stride) for n in axes)
    dropped = (math.prod(axes) - outputs) * 2 * 64**2 if kind != "convolution" else 0
    counted = count_flops(mixer.call, mixer.shapes, x) - dropped
    assert mixer.mixer.cost(axes).flops == counted


# Of width 8: a window or a kernel of n keeps what the next position still sees.
STATES = {
    "rnn-tanh": 8,
    "lstm": 2 * 8,
    "bidirectional-lstm": 0,
    "convolution-causal": 3 * 8,
    "convolution-dilated": 18 * 8,
    "convolution-centred": 0,
    "neighbourhood-attention-dilated": 18 * 2 * 8,
    "attention-local": 4 * 2 * 8,
    "attention-grouped": LENGTH * 2 * 2 * 2,
    "attention-relative": LENGTH * (2 * 8 + 8),
    "attention-global-both-sides": 0,
    "attention-short": 4 * 2 * 4 + 3 * (8 + 2 * 4),
    "attention-forgetting": LENGTH * (2 * 4 + 4),
    "long-convolution": LENGTH * 8,
    "hyena": LENGTH * 8,
    "hyena-short": 2 * LENGTH * 8 + 2 * 4 * 8,
    "attention-sinks": (4 + 3) * (2 * 4 + 4) + 2 * (8 + 2 * 4),
    "neighbourhood-attention-short": 2 * 2 * 8 + 2 * 3 * 8,
    "linear_attention": 4 * 2 * 2 + 4 * 2,
    "retention": 2 * 4 * 4,
    "gla": 2 * 2 * 4,
    "mamba2": 4 * 8,
    "mamba3": 4 * 8 + 2 * (4 / 4 + 4 + 4),
    "mlstm": 2 * 2 * 4 + 2 * 2 + 2,
    "slstm": 4 * 8,
    "kda": 2 * 4 * 4 + 3 * (8 + 8 + 8),
    "deltaproduct": 2 * 4 * 4,
    "rwkv7": 2 * 4 * 4 + 8,
}


@pytest.mark.parametrize("name", STATES)
def test_the_state_is_what_goes_on_needs(name):
    assert make(*CASES[name]).cost(LENGTH).state_bytes == 4 * STATES[name]


@pytest.mark.parametrize("name", CASES)
def test_cost_counts_the_steps(name):
    kind, settings = CASES[name]
    known = dict.fromkeys(("rnn", "lstm", "gru"), LENGTH)
    known |= dict.fromkeys(("convolution", "neighbourhood_attention", "attention"), 1)
    convolved = "short" in settings
    depth = make(*CASES[name]).cost(LENGTH).sequential_depth
    assert depth == known[kind] + convolved if kind in known else 1 <= depth <= LENGTH + convolved
