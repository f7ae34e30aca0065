"""What is seen of a model while it runs: under which names, and that nothing leaks or is lost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.model import build_model
from seqmodels.observing import observe, observed, within
from seqmodels.tasks.base import Batch, TaskSpec
from tests.drawn_parameters import draw_parameters

SPEC = TaskSpec("many-to-many", "tokens", 7, 5, True, "accuracy", True)
MIXERS = {"gru": {"kind": "gru"}, "global": {"kind": "attention", "heads": 2}}
SECTION = {"width": 8, "depth": 2, "pattern": tuple(MIXERS), "mixers": MIXERS, "dropout": 0.1}
TOKENS = np.random.default_rng(0).integers(7, size=(2, 9), dtype=np.int32)
BATCH = Batch(TOKENS, np.zeros((2, 9), np.int32), np.ones((2, 9), np.float32))


def test_a_path_names_what_is_seen_and_something_may_take_its_place():
    def twice(x):
        for part in ("first", "second"):
            with within(part):
                x = observe("doubled", 2 * x)
        return x

    assert twice(1) == 4, "nobody looks"
    assert observed(twice)(1) == (4, {"first.doubled": 2, "second.doubled": 4})
    assert observed(twice, {"first.doubled": 5})(1) == (
        10,
        {"first.doubled": 5, "second.doubled": 10},
    )
    assert observed(lambda: observe("made", lambda: 3))()[1] == {"made": 3}


def test_what_would_leak_out_of_a_transformation_is_refused():
    with pytest.raises(TypeError, match="put jit, grad or vmap around observed"):
        observed(jax.jit(lambda x: observe("x", x)))(jnp.ones(3))
    assert observed(lambda: observe("three", 3))() == (3, {"three": 3}), "the next look is new"


@pytest.mark.slow
def test_blocks_computed_again_give_the_same_and_are_seen_one_by_one():
    """remat="block": the same scores and gradients, by fewer numbers kept."""
    plain, again = (build_model(SECTION | {"remat": remat}, SPEC) for remat in ("none", "block"))
    params, key = draw_parameters(plain), jax.random.key(0)

    def loss(model):
        return lambda params: jnp.sum(model.apply(params, BATCH, key) ** 2)

    made = [jax.jit(jax.value_and_grad(loss(model)))(params) for model in (plain, again)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *made)
    programs = [str(jax.make_jaxpr(jax.grad(loss(model)))(params)) for model in (plain, again)]
    assert ["remat" in program or "checkpoint" in program for program in programs] == [False, True]
    for model in (plain, again):
        seen = jax.eval_shape(observed(model.apply), params, BATCH)[1]
        assert {name: leaf.shape for name, leaf in seen.items()} == {
            "inputs": (2, 9, 8),
            "blocks.0.mixer.log_decay": (2, 9, 1, 8),
            "blocks.0.outputs": (2, 9, 8),
            "blocks.1.mixer.weights": (2, 2, 9, 9),
            "blocks.1.outputs": (2, 9, 8),
        }

    def start(params):
        return plain.start(params, 2, 9)

    seen = jax.eval_shape(lambda p: observed(plain.extend)(p, TOKENS, start(p))[1], params)
    assert seen["blocks.0.mixer.state"].shape == (2, 8)
