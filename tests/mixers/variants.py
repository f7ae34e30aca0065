"""The mixers under test: every key of MIXERS, with the settings that change what it does.

Where SOAK is set every variant is asked everything, of which ``make test`` asks some a kind that
shares its code with no other, and none of the variants whose settings others have among them.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from flax import nnx

from seqmodels.mixers import MIXERS, Context, Short
from tests.soaking import SOAK

WIDTH = 8
LENGTH = 130  # past a block of 128, and far past every window and kernel below

Variants = dict[str, tuple[str, dict[str, Any]]]

HYENA = {"max_length": 140, "filter_width": 4, "frequency": 1.0}
VARIANTS: Variants = {
    "rnn-tanh": ("rnn", {"activation": "tanh"}),
    "rnn-relu": ("rnn", {"activation": "relu"}),
    "lstm": ("lstm", {}),
    "gru": ("gru", {}),
    "bidirectional-lstm": ("bidirectional", {"mixer": {"kind": "lstm"}}),
    "bidirectional-convolution": (
        "bidirectional",
        {"mixer": {"kind": "convolution", "kernel": 4, "dilation": 3}},
    ),
    "convolution-causal": ("convolution", {"kernel": 4}),
    "convolution-dilated": ("convolution", {"kernel": 3, "dilation": 9}),
    "convolution-centred": ("convolution", {"kernel": 5, "dilation": 2, "causal": False}),
    "convolution-grouped": ("convolution", {"kernel": 3, "groups": 2}),
    "convolution-separable": ("convolution", {"kernel": 4, "groups": None}),
    "convolution-gated": ("convolution", {"kernel": 3, "gated": True}),
    "convolution-separable-gated": ("convolution", {"kernel": 3, "groups": None, "gated": True}),
    "temporal-block": ("temporal_block", {"kernel": 4, "dilation": 3}),
    "temporal-block-centred": ("temporal_block", {"kernel": 3, "dilation": 2, "causal": False}),
    "neighbourhood-attention": ("neighbourhood_attention", {"kernel": 4}),
    "neighbourhood-attention-dilated": (
        "neighbourhood_attention",
        {"kernel": 3, "dilation": 9, "heads": 2},
    ),
    "neighbourhood-attention-centred": (
        "neighbourhood_attention",
        {"kernel": 5, "dilation": 2, "causal": False, "heads": 2},
    ),
    "attention-local": ("attention", {"window": 5}),
    "attention-local-both-sides": ("attention", {"window": 5, "causal": False}),
    "attention-local-set": ("attention", {"window": 5, "positions": "none"}),
    "attention-local-both-sides-set": (
        "attention",
        {"window": 5, "causal": False, "positions": "none"},
    ),
    "attention-grouped": ("attention", {"heads": 4, "kv_heads": 2}),
    "attention-multi-query-local": ("attention", {"heads": 4, "kv_heads": 1, "window": 5}),
    "attention-dot": ("attention", {"score": "dot", "heads": 2}),
    "attention-additive": ("attention", {"score": "additive", "positions": "none"}),
    "attention-additive-local": (
        "attention",
        {"score": "additive", "positions": "none", "window": 5, "kv_heads": 2},
    ),
    "attention-alibi": ("attention", {"positions": "alibi"}),
    "attention-alibi-local-both-sides": (
        "attention",
        {"positions": "alibi", "window": 5, "causal": False},
    ),
    "attention-relative": ("attention", {"positions": "relative"}),
    "attention-relative-local": (
        "attention",
        {"positions": "relative", "window": 5, "kv_heads": 2},
    ),
    "attention-relative-both-sides": ("attention", {"positions": "relative", "causal": False}),
    "attention-normalised": ("attention", {"qk_norm": True}),
    "attention-scaled-linear": ("attention", {"rotary_scaling": "linear", "trained_length": 40}),
    "attention-scaled-ntk": (
        "attention",
        {"rotary_scaling": "ntk", "trained_length": 40, "heads": 2},
    ),
    "attention-randomised": ("attention", {"position_range": 400}),
    "attention-relative-randomised": (
        "attention",
        {"positions": "relative", "position_range": 260},
    ),
    "attention-whole": ("attention", {"form": "whole"}),
    "attention-global": ("attention", {}),
    "attention-global-both-sides": ("attention", {"causal": False}),
    "attention-global-set": ("attention", {"positions": "none"}),
    "attention-global-both-sides-set": ("attention", {"causal": False, "positions": "none"}),
    "rglru": ("rglru", {"short": Short(4), "expansion": 1.5, "heads": 2}),
    "s4d": ("s4d", {"states": 8}),
    "mamba": (
        "mamba",
        {"short": Short(4), "states": 4, "step_rank": 2, "negative_eigenvalues": True},
    ),
    "attention-short": (
        "attention",
        {"short": Short(4, "silu"), "kv_heads": 2, "window": 5, "qk_norm": True},
    ),
    "attention-forgetting": ("attention", {"forgetting": True, "kv_heads": 2}),
    "attention-sinks": (
        "attention",
        {
            "window": 5,
            "sinks": 3,
            "forgetting": True,
            "kv_heads": 2,
            "positions": "alibi",
            "short": Short(3),
        },
    ),
    "attention-sink-logit": ("attention", {"sink_logit": True}),
    "neighbourhood-attention-short": (
        "neighbourhood_attention",
        {"short": Short(3), "kernel": 3, "heads": 2},
    ),
    "long-convolution": ("long_convolution", {"max_length": 140, "smooth": 3}),
    "hyena": ("hyena", HYENA | {"bands": 2}),
    "hyena-short": ("hyena", HYENA | {"order": 3, "bands": 1, "short": Short(3)}),
    "bidirectional-short": (
        "bidirectional",
        {"short": Short(4, "silu"), "mixer": {"kind": "lstm"}},
    ),
    "linear_attention": ("linear_attention", {}),
    "linear_attention-plain": (
        "linear_attention",
        {"features": "identity", "normalised": False, "heads": 1},
    ),
    "retention": (
        "retention",
        {"heads": 2, "value_expansion": 1.0, "chunk": 16, "form": "chunked"},
    ),
    "gla": ("gla", {"heads": 2, "decay_rank": 4}),
    "mamba2": ("mamba2", {"heads": 2, "state_size": 4, "expansion": 1.0}),
    "mamba3": ("mamba3", {"heads": 2, "state_size": 4, "expansion": 1.0}),
    "deltanet": ("deltanet", {"heads": 2}),
    "gated_deltanet": ("gated_deltanet", {"heads": 2, "value_expansion": 1.0}),
    "kda": ("kda", {"short": Short(4), "heads": 2, "negative_eigenvalues": True}),
    "deltaproduct": ("deltaproduct", {"heads": 2, "value_expansion": 1.0}),
    "rwkv7": ("rwkv7", {"heads": 2, "decay_rank": 4, "gate_rank": 4}),
    "mlstm": ("mlstm", {"heads": 2}),
    "slstm": ("slstm", {"heads": 2}),
    "slstm-short": ("slstm", {"short": Short(4, "silu"), "heads": 2}),
}


IN_SOAK = {
    "convolution-gated",
    "temporal-block-centred",
    "attention-local-set",
    "attention-local-both-sides-set",
    "attention-multi-query-local",
    "attention-additive",
    "attention-relative",
    "attention-normalised",
    "attention-scaled-ntk",
    "attention-relative-randomised",
    "attention-relative-both-sides",
    "attention-alibi-local-both-sides",
    "attention-global-both-sides-set",
    "attention-global-both-sides",
    "neighbourhood-attention-short",
    "slstm-short",
    "attention-grouped",
    "attention-forgetting",
    "attention-alibi",
    "convolution-separable",
    "hyena-short",
    "bidirectional-short",
}
"""Variants each of whose settings others have, if by another value."""
SLOW_KINDS = (
    *("rnn", "gru"),  # they share their code with the LSTM
    # And these with gated_deltanet or gla, or they take long.
    *("linear_attention", "retention", "mamba2", "mamba3", "mlstm", "slstm"),
    *("deltanet", "kda", "deltaproduct", "rwkv7"),
)


def all_variants(mixers: Mapping[str, Any], variants: Variants) -> Variants:
    """The variants, and the default settings of each mixer that has none."""
    covered = {kind for kind, _ in variants.values()}
    return variants | {kind: (kind, {}) for kind in mixers if kind not in covered}


CASES = all_variants(MIXERS, VARIANTS)


def make(kind: str, settings: dict[str, Any], width: int = WIDTH) -> Any:
    """A mixer without memory for its parameters."""
    return nnx.eval_shape(lambda: MIXERS[kind](width, **settings, rngs=nnx.Rngs(0)))


class Pure(NamedTuple):
    """A mixer, and what it does as jitted functions of its parameters."""

    mixer: Any
    shapes: dict[str, Any]
    call: Any
    extend: Any


@functools.cache
def build(name: str) -> Pure:
    """A variant; compiled once for each shape of its inputs."""
    return pure(*CASES[name])


def pure(kind: str, settings: dict[str, Any], width: int = WIDTH) -> Pure:
    """A mixer as jitted functions of its parameters."""
    mixer = make(kind, settings, width)
    graph, abstract = nnx.split(mixer, nnx.Param)

    @jax.jit
    def call(params, x, mask=None):
        built = nnx.merge(graph, params)
        return built(x, built.context(x, mask))

    @jax.jit
    def extend(params, x, state, count, lengths, valid=None):
        """A chunk after ``count`` positions, of rows that will have ``lengths``."""
        context = Context.of(
            *x.shape[:2],
            valid,
            count=count,
            lengths=lengths,
            position_range=mixer.position_range,
        )
        return nnx.merge(graph, params).extend(x, state, context)

    return Pure(mixer, nnx.to_pure_dict(abstract), call, extend)


@functools.cache
def parameters(name: str) -> dict[str, Any]:
    """A variant's initial weights with some noise, so that biases count too."""
    return noisy_weights(*CASES[name])


def noisy_weights(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """A mixer's initial weights with some noise."""

    @jax.jit
    def init():
        mixer = MIXERS[kind](WIDTH, **settings, rngs=nnx.Rngs(0))
        return nnx.to_pure_dict(nnx.split(mixer, nnx.Param)[1])

    return jax.tree.map(lambda p: np.asarray(p) + 0.1 * normal(p.shape, seed=p.size), init())


def normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Standard normal noise."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


ASKED = [name for name in CASES if SOAK or name not in IN_SOAK]
CAUSAL = [name for name, (kind, settings) in CASES.items() if make(kind, settings).has_state]
FIRST = list({kind: name for name, (kind, _) in reversed(CASES.items())}.values())
"""A variant of each kind, which also runs without the slow tests, but for SLOW_KINDS."""


def _parametrize(names: list[str]) -> pytest.MarkDecorator:
    fast = [name for name in FIRST if CASES[name][0] not in SLOW_KINDS]
    marks = [() if name in fast else pytest.mark.slow for name in names]
    params = [pytest.param(n, id=n, marks=m) for n, m in zip(names, marks, strict=True)]
    return pytest.mark.parametrize("name", params)


OF_KINDS = ASKED if SOAK else [name for name in FIRST if CASES[name][0] not in SLOW_KINDS]
every_mixer = _parametrize(ASKED)
every_causal_mixer = _parametrize([name for name in ASKED if name in CAUSAL])
every_kind = _parametrize(OF_KINDS)
each_kind = _parametrize(FIRST)
"""Those too that share their code with another."""
every_causal_kind = _parametrize([name for name in OF_KINDS if name in CAUSAL])
