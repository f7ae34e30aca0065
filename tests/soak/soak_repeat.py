"""Patterns that repeat, scanned and kept in every way, against block after block."""

import re
from collections import Counter
from typing import Any

import jax
import numpy as np
import pytest

from seqmodels.model import build_model
from seqmodels.remat import NAMES
from seqmodels.scaling.programs import language_model, model_section
from seqmodels.tasks.base import Batch, TaskSpec
from seqmodels.training.experiment import build_experiment
from seqmodels.training.programs import Programs, abstract_state, new_state, step_batch
from seqmodels.training.resolving import load_whole
from seqmodels.training.sharding import make_mesh
from tests.command_line import ROOT
from tests.drawn_parameters import draw_parameters
from tests.training.test_sharding import SMALL, distance, mean, sharding

B, L = 2, 12
KEY = jax.random.key(1)
RANDOM = np.random.default_rng(0)
TOKENS = RANDOM.integers(7, size=(B, L), dtype=np.int32)
MASK = np.arange(L) < np.array([[L], [L - 4]])
SHARED = {"width": 8, "dropout": 0.3, "mlp": "gated", "mlp_expansion": 2.0}
MIXERS = {
    "gru": {"kind": "gru"},
    "spread": {"kind": "attention", "heads": 2, "position_range": 64},
    "mamba2": {"kind": "mamba2", "heads": 2},
    "conv": {"kind": "convolution", "kernel": 3},
    "both": {"kind": "bidirectional", "mixer": {"kind": "lru"}},
}
READS = TaskSpec("many-to-many", "tokens", 7, 5, False, "accuracy", True)
WRITES = TaskSpec("sequence-to-sequence", "tokens", 7, 7, False, "accuracy", True)


def reading(*pattern, **changes):
    mixers = {name: MIXERS[name] for name in pattern}
    settings = {"depth": 3 * len(pattern) + 1, "pattern": pattern, "mixers": mixers}
    return READS, SHARED | settings | changes


def writing():
    stacks = {
        "encoder": {"depth": 4, "pattern": ("both",), "mixers": {"both": MIXERS["both"]}},
        "decoder": {"depth": 4, "pattern": ("gru",), "mixers": {"gru": MIXERS["gru"]}},
    }
    return WRITES, SHARED | stacks | {"cross": "scaled_dot", "cross_heads": 2}


CASES = {
    "recurrences": reading("gru", "mamba2"),
    "spread positions": reading("spread", "conv"),
    "both sides": reading("both"),
    "post-norm": reading("gru", "spread", norm_position="post"),
    "short convolutions": reading("mamba2", short_convolution=4),
    "bfloat16": reading("gru", dtype="bfloat16"),
    "a decoder that attends": writing(),
}


@pytest.mark.parametrize("remat", ["none", "block", *NAMES, NAMES], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_scanned_is_unrolled(name, remat):
    spec, section = CASES[name]
    targets = RANDOM.integers(5, size=(B, L), dtype=np.int32)
    batch = Batch(TOKENS, targets, np.ones((B, L), np.float32), mask=MASK)

    def results(**settings):
        of = build_model(section | settings, spec)

        def run(params):
            scores, back = jax.vjp(lambda params: of.apply(params, batch, KEY), params)
            return scores, back(scores)[0], of.apply(params, batch, None)

        return jax.jit(run)(draw_parameters(of))

    expected, found = results(repeat="unrolled"), results(repeat="scanned", remat=remat)
    assert jax.tree.structure(expected) == jax.tree.structure(found)
    if section.get("dtype") == "bfloat16":  # as near to what more digits give
        exact = results(repeat="unrolled", dtype="float32")
        assert distance(found, exact) <= 1.2 * distance(expected, exact) <= 0.05
        return
    for one, other in zip(*map(jax.tree.leaves, (expected, found)), strict=True):
        size = np.linalg.norm(one)
        assert np.linalg.norm(other - one) <= 1e-5 * max(size, 1e-3)


REPEATED = ("transformer", "conv", "gru", "lstm", "mingru", "lru", "s4d", "s5", "mamba", "mamba2")
REPEATED += ("mamba3", "linear_attention", "retention", "gla", "mlstm", "slstm", "deltanet")
REPEATED += ("gated_deltanet", "kda", "deltaproduct", "rwkv7", "hyena")
DEAR = re.compile(r" (dot|exponential|tanh|log-plus-one|fft)\(")


@pytest.mark.optimised
@pytest.mark.parametrize("mixer", REPEATED)
def test_a_loop_computes_nothing_that_a_block_alone_does_not(mixer):
    """The compiler finds in a loop's body what is computed twice, as it does outside."""

    def dear(repeat: str, repetitions: int) -> Counter[str]:
        pattern = model_section(mixer, 64, 8, "float32", 512)["pattern"]
        depth = repetitions * len(pattern)
        section = model_section(mixer, 64, depth, "float32", 512)
        of = language_model(section | {"repeat": repeat, "remat": "block"}, 512, 2)
        shapes = jax.eval_shape(of.state), of.batch()
        return Counter(DEAR.findall(of.jit_step(make_mesh(1)).lower(*shapes).compile().as_text()))

    looped, alone = dear("scanned", 2), dear("unrolled", 1)
    assert looped - alone == Counter()


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "fully sharded"])
@pytest.mark.parametrize("mixer", ["transformer", "gru", "mamba2"])
def test_scanned_on_a_mesh_is_unrolled_on_one_device(mixer, whole):
    """Steps on 2 x 2 x 2 devices, whose state stays where its letters say."""
    start: list[Any] = []

    def steps(repeat: str, devices: int, **mesh: Any) -> tuple[Any, Any]:
        keys = SMALL | {"model.depth": 4, "model.repeat": repeat, "model.remat": "block"}
        keys |= {f"mesh.{name}": value for name, value in mesh.items()}
        spec = f"{ROOT}/configs/copy.py:mixer={mixer},length=8"
        overrides = [(key, str(value)) for key, value in keys.items()]
        of = build_experiment(load_whole(spec, overrides).config)
        where = make_mesh(devices, of.mesh.sequence, of.mesh.model)
        like, programs = abstract_state(of, where), Programs(of, where)
        start[:] = start or [jax.device_get(new_state(of, where))]
        state = jax.device_put(start[0], jax.tree.map(sharding, like))
        programs.compile(state, step_batch(of, where, 0))
        means = []
        for number in range(3):
            batch = step_batch(of, where, number)
            state, _ = programs[batch.bucket](state, batch.batch)
            means.append(jax.device_get(mean(state)))
        assert jax.tree.map(sharding, state) == jax.tree.map(sharding, like)
        return means[0], jax.device_get(state.params)

    gradients, params = steps("unrolled", 1)
    found, after = steps("scanned", 8, sequence=2, model=2, fully_sharded=not whole)
    assert distance(found, gradients) < 1e-5
    assert distance(after, params) < 1e-5
