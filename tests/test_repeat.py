"""A pattern that repeats, scanned or not, and what the backward pass keeps of its blocks."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels import stack
from seqmodels.errors import ConfigError
from seqmodels.model import build_model
from seqmodels.observing import observed
from seqmodels.remat import NAMES
from seqmodels.tasks.base import Batch, TaskSpec
from tests.drawn_parameters import draw_parameters
from tests.soaking import soak_only

SPEC = TaskSpec("many-to-many", "tokens", 7, 5, True, "accuracy", True)
MIXERS = {"gru": {"kind": "gru"}, "global": {"kind": "attention", "heads": 2}}
SECTION = {
    "width": 8,
    "depth": 5,
    "pattern": tuple(MIXERS),
    "mixers": MIXERS,
    "blocks": {"gru": {"short_convolution": 2}},
    "mlp": "gelu",
    "mlp_expansion": 2.0,
    "dropout": 0.5,
}
B, L, D, F = 2, 9, 8, 16
TOKENS = np.random.default_rng(0).integers(7, size=(B, L), dtype=np.int32)
BATCH = Batch(TOKENS, np.zeros((B, L), np.int32), np.ones((B, L), np.float32))
KEY = jax.random.key(0)


def model(**settings):
    return build_model(SECTION | settings, SPEC)


@cache
def parameters():
    return draw_parameters(model())


def trained(of):
    """Scores and gradients of whole sequences."""

    def run(params):
        scores, back = jax.vjp(lambda params: of.apply(params, BATCH, KEY), params)
        return scores, back(scores)[0]

    return jax.jit(run)(parameters())


def carried(of):
    """Scores of a second chunk and the state after it, as training reads them in segments."""

    def run(params):
        state = of.start(params, B, L)
        _, state = of.extend(params, TOKENS[:, :4], state, key=KEY)
        return of.extend(params, TOKENS[:, 4:], state, key=KEY)

    return jax.jit(run)(parameters())


@cache
def expected(run):
    return run(model(repeat="unrolled"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "remat"),
    [(trained, "projections,mlp_hidden"), soak_only(carried, ("mixer_outputs",))],
)
def test_a_scanned_pattern_gives_the_same(run, remat):
    """The same dropout, scores, gradients and states, in the same trees: two repetitions of two
    names in a loop, and the one block that is left."""
    made = run(model(repeat="scanned", remat=remat))
    assert jax.tree.structure(made) == jax.tree.structure(expected(run))
    for one, other in zip(jax.tree.leaves(made), jax.tree.leaves(expected(run)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.linalg.norm(other))


def products(of, key=KEY):
    """How many matrix products stand in the program of a loss's gradient, or of scores."""

    def loss(params):
        return jnp.sum(of.apply(params, BATCH, key))

    run = jax.grad(loss) if key is not None else loss
    shapes = jax.eval_shape(of.init, jax.random.key(0))
    return str(jax.make_jaxpr(run)(shapes)).count("dot_general")


def test_the_program_of_a_scanned_pattern_has_one_repetition():
    for key in (KEY, None):
        depths = {depth: products(model(repeat="scanned", depth=depth), key) for depth in (4, 8)}
        assert depths[4] == depths[8]
        assert products(model(repeat="unrolled", depth=4), key) > depths[4]


@pytest.mark.parametrize(
    ("settings", "repetitions"),
    [
        ({"remat": "block", "depth": 7}, 3),
        ({"remat": "block", "depth": 5}, 0),
        ({"remat": "none", "depth": 6}, 0),
        ({"repeat": "unrolled", "remat": "block", "depth": 6}, 0),
        ({"repeat": "scanned", "depth": 4}, 2),
    ],
)
def test_which_repetitions_are_scanned(settings, repetitions, monkeypatch):
    monkeypatch.setattr(stack, "LEAST_REPETITIONS", 3)
    of = model(**settings)
    assert of.to_nnx(jax.eval_shape(of.init, KEY)).repetitions == repetitions


def test_what_can_be_scanned_or_moved_nowhere_is_refused():
    pooled = SPEC._replace(shape="many-to-one")
    conv = {"gru": {"kind": "convolution", "kernel": 3, "stride": 2}}
    settings = {"mixers": conv, "pattern": ("gru",), "blocks": None, "pooling": "mean"}
    with pytest.raises(ConfigError) as raised:
        build_model(SECTION | settings | {"repeat": "scanned"}, pooled)
    assert str(raised.value) == (
        "model.repeat='scanned': a mixer's stride above 1 leaves fewer positions, and those of a "
        "loop stay as many; set it to 'auto' or 'unrolled'"
    )
    of = model(remat="block", offload=True)
    with pytest.raises(ConfigError) as raised:
        jax.eval_shape(of.apply, parameters(), BATCH, KEY)
    assert str(raised.value) == (
        "model.offload=True moves what is kept to the host's memory, apart from the device's; cpu "
        "has no other: set it to False"
    )
    jax.eval_shape(of.apply, parameters(), BATCH, None)  # a trained one is evaluated anywhere


def test_what_is_observed_or_decoded_goes_block_by_block():
    of = model(repeat="scanned", remat="block")
    seen = jax.eval_shape(observed(lambda params: of.apply(params, BATCH, KEY)), parameters())[1]
    assert {f"blocks.{index}.outputs" for index in range(5)} <= seen.keys()

    def token(params):
        return of.extend(params, TOKENS[:, :1], of.start(params, B, L))[0]

    program = str(jax.make_jaxpr(token)(parameters()))
    assert "prevent_cse" not in program
    assert program.count("name=mixer_outputs") == 5


@pytest.mark.parametrize("repeat", ["unrolled", "scanned"])
def test_what_is_kept_of_a_block_by_its_names(repeat):
    """Beside its inputs, of attention and of a gated MLP: all by shapes, nothing is compiled."""

    def kept(remat):
        only = {"depth": 2, "pattern": ("global",), "blocks": None}
        only |= {"mixers": {"global": MIXERS["global"]}, "mlp": "gated"}
        of = model(repeat=repeat, remat=remat, **only)

        def loss(params, batch, key):
            return jnp.sum(of.apply(params, batch, key))

        return of.parts(BATCH, BATCH, loss)[0].kept

    inputs = 4 * B * L * D
    assert kept("block") == inputs
    assert kept("mlp_hidden") == inputs + 2 * 4 * B * L * F
    assert kept("mixer_outputs") == inputs + 4 * B * L * D
    # Queries, keys, values; what the last projection makes is the mixer's output, for the sum.
    assert kept("projections") == inputs + 4 * 4 * B * L * D
    assert kept(NAMES) < kept("none")
