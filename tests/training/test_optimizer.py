"""What decays, and by how much."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.parameters import About
from seqmodels.training.optimizer import OPTIMIZERS, Optimizer, make_optimizer

PARAMS = {
    "weights": jnp.ones((2, 3)),
    "bias": jnp.ones((2, 3)),
    "slow": jnp.ones((2, 2, 2)),
    "steps": jnp.ones(4),
}
PARAMETERS = {
    "weights": About(("D", "F"), decays=True),
    "bias": About(("H", "K"), decays=False),
    "slow": About(("H", "K", "K"), decays=True, rate=0.25),
    "steps": About(("D",), decays=False, rate=0.5),
}


def optimizer(**settings: Any) -> Optimizer:
    return make_optimizer({"learning_rate": 0.1, "clip_norm": None} | settings, 110, PARAMETERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_kind_keeps_to_what_parameters_say(name):
    """Without a gradient what decays does, each by its share of the rate; with one all move, a
    share as far."""
    of = optimizer(kind=name, final_learning_rate=0.05, weight_decay=0.5).transformation
    update = jax.jit(of.update)
    none, some = (jax.tree.map(lambda p, g=g: jnp.full_like(p, g), PARAMS) for g in (0.0, 1.0))
    state = of.init(PARAMS)
    updates, _ = update(none, state, PARAMS)
    found = {leaf: np.unique(value).tolist() for leaf, value in updates.items()}
    decayed = {"weights": -0.05, "bias": 0.0, "slow": -0.0125, "steps": 0.0}
    assert found == {leaf: pytest.approx([value]) for leaf, value in decayed.items()}
    updates, after = update(some, state, PARAMS)
    assert all((np.isfinite(value) & (np.asarray(value) < 0)).all() for value in updates.values())
    np.testing.assert_allclose(updates["steps"][0], 0.5 * updates["bias"][0, 0], rtol=1e-6)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert [x.dtype for x in jax.tree.leaves(after)] == [x.dtype for x in jax.tree.leaves(state)]


def test_parameters_decay_and_learn_as_they_say():
    """Of a constant gradient AdamW's first update is the rate, and half of that the decay."""
    expected = {"weights": -0.15, "bias": -0.1, "slow": -0.0375, "steps": -0.05}
    of = optimizer(weight_decay=0.5).transformation
    gradients = jax.tree.map(jnp.ones_like, PARAMS)
    updates, _ = of.update(gradients, of.init(PARAMS), PARAMS)
    found = {name: np.unique(update).tolist() for name, update in updates.items()}
    assert found == {name: pytest.approx([value]) for name, value in expected.items()}
