"""What parameters say of themselves."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.layers import Linear, linears
from seqmodels.mixers import CrossAttention
from seqmodels.model import build_model
from seqmodels.parameters import AXES, declared, parameter
from seqmodels.tasks.base import TaskSpec
from tests.mixers.variants import CASES, WIDTH, make

STAY = {
    "bias",
    "gate_bias",
    "first_bias",
    "second_bias",
    "scale",
    "vector",
    "content_bias",
    "offset_bias",
    "sink_logits",
}
STAY |= {"filter", "matrix", "skip", "frequency"}
STAY |= {"A_imaginary", "A_log", "B", "decay", "gamma_log", "log_step", "nu_log", "poles", "skip"}
STAY |= {"step_bias", "theta_log", "dt_bias", "query_bias", "key_bias"}
STAY |= {"mixtures", "erased", "strengthened", "bonus", "shift"}
"""Names of the parameters that don't decay."""
STAY_IN = {
    "RWKV7": {f"{part}_{way}" for part in ("decay", "strength", "gate") for way in ("down", "up")}
}
"""Projections of mixers that don't decay, as in the papers' code."""
RATES = {
    "LRU": {"B": 0.5, "gamma_log": 0.5, "nu_log": 0.5, "theta_log": 0.5},
    "RWKV7": {"decay_up/bias": 2},
    "S4D": {"A_imaginary": 0.1, "A_log": 0.1, "log_step": 0.1},
    "S5": {"B": 0.25, "log_step": 0.25, "poles": 0.25},
}
"""Those that learn at a rate of their own, as in the papers' code."""
SIZED = "DHKUGF"
"""Letters that have one size in a model. What is read and what is written may differ."""


@cache
def modules() -> list:
    """Every mixer that the contract tests know, and attention to a source."""
    found = [make(*case) for case in CASES.values()]
    for score in ("scaled_dot", "additive"):

        def cross(score=score):
            return CrossAttention(WIDTH, 2, score, rngs=nnx.Rngs(0))

        found.append(nnx.eval_shape(cross))
    return found


def check(parameters, shapes, rates=None, stay=frozenset()):
    """Each axis has a name, each letter one size, and biases and their like alone don't decay.

    Their shares of the rate are 1 or what ``rates`` says. Returns the sizes.
    """
    sizes = {"D": WIDTH}
    leaves = jax.tree_util.tree_leaves_with_path(parameters)
    for (path, said), shape in zip(leaves, jax.tree.leaves(shapes), strict=True):
        name, owner = path[-1].key, path[-2].key if len(path) > 1 else None
        assert said.decays == (name not in STAY and owner not in stay), path
        of = rates or {}
        assert said.rate == of.get(f"{owner}/{name}", of.get(name, 1)), path
        for letter, size in zip(said.letters, shape.shape, strict=True):
            assert letter not in SIZED or sizes.setdefault(letter, size) == size, path
    return sizes


@pytest.mark.slow
def test_mixers_say_what_their_axes_are_and_what_decays():
    for module in modules():
        kind = type(module).__name__
        shapes = nnx.to_pure_dict(nnx.state(module))
        stay = STAY_IN.get(kind, frozenset())
        sizes = check(declared(module), shapes, RATES.get(kind), stay)
        if getattr(module, "has_state", False):
            check_state(module, sizes)


def check_state(module, sizes):
    """The axes of a state are those of the parameters, but that keys may carry their places too."""
    state = jax.eval_shape(lambda: module.initial_state(3, 9))
    for letters, leaf in zip(*map(jax.tree.leaves, (module.state_letters, state)), strict=True):
        for letter, size in zip(letters.split(), leaf.shape, strict=True):
            assert letter in AXES | {"B"}
            assert letter not in "DHGU" or sizes.get(letter, size) == size, (module, letters)


@pytest.mark.parametrize("shape", ["many-to-many", "sequence-to-sequence"])
def test_models_do_too(shape):
    stack = {"depth": 1, "pattern": ("gru",), "mixers": {"gru": {"kind": "gru"}}}
    section = {"width": WIDTH, "mlp": "gated", "mlp_expansion": 2.0, "positions": "learned"}
    section |= {"max_length": 9, "norm": "rms"}
    if shape == "many-to-many":
        section |= stack
    else:
        section |= {"encoder": stack, "decoder": stack, "cross": "additive", "cross_heads": 2}
    model = build_model(section, TaskSpec(shape, "tokens", 5, 4, True, "loss", False, end=4))
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    assert jax.tree.structure(model.parameters) == jax.tree.structure(shapes)
    check(model.parameters, shapes)


@pytest.mark.parametrize(
    ("letters", "rate"),
    [("D", 1.0), ("DDD", 1.0), ("DX", 1.0), (("D", "gate"), 1.0), ("DD", 0.0), ("DD", jnp.inf)],
)
def test_axes_need_names_that_are_known_and_a_rate_is_positive(letters, rate):
    with pytest.raises(
        ValueError, match=r"; known: C, D, |; \(2, 2\) has 2 axes|rate=.* is not above 0"
    ):
        parameter(jnp.zeros((2, 2)), letters, decays=True, rate=rate)


def test_a_parameter_that_says_nothing_is_refused():
    module = nnx.Dict(weights=nnx.Param(jnp.zeros(2)))
    with pytest.raises(TypeError, match="says nothing of itself; make it by"):
        declared(module)


def test_what_is_cut_was_drawn_as_one():
    """So that a seed has the numbers that it had before."""
    several = [{"H": 2, "K": 4}, {"G": 1, "K": 4}, {"G": 1, "U": 4}]
    parts = linears({"D": WIDTH}, several, "inputs", rngs=nnx.Rngs(0))
    assert [part.weights.shape for part in parts] == [(8, 2, 4), (8, 1, 4), (8, 1, 4)]
    whole = nnx.initializers.lecun_normal()(nnx.Rngs(0).params(), (WIDTH, 16))
    joined = jnp.concatenate([part.weights[...].reshape(WIDTH, -1) for part in parts], axis=1)
    np.testing.assert_array_equal(joined, whole)


def test_a_matrix_is_what_a_projection_says():
    """What a Linear projects is the one side and what it makes the other; of kernels each place
    counts to the first; of mixers' own only blocks of heads and recurrent weights are more."""
    matrices = set()
    for module in modules():
        for _, node in nnx.iter_modules(module):
            said = declared(node) if isinstance(node, Linear) else {}
            if said and (sides := said["weights"].matrix) is not None:
                count = len(said["weights"].letters) - len(said["bias"].letters)
                assert sides == (tuple(range(count)), tuple(range(count, sum(map(len, sides)))))
        leaves = jax.tree.leaves(declared(module))
        matrices |= {(of.letters, of.matrix) for of in leaves if of.matrix is not None}
    own = {"".join(letters): sides for letters, sides in matrices if len(letters[0]) == 1}
    assert own["HKgatesK"] == ((1,), (2, 3))
    assert own["DgatesD"] == ((0,), (1, 2))
    kernels = {len(of): sides for of, sides in matrices if of[0] == "kernel"}
    assert kernels == {3: ((0, 1), (2,))}
    assert not {"VD", "DV", "HK", "kernelD"} & own.keys()
