"""What decays, and by how much."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.parameters import About
from seqmodels.training.optimizer import Optimizer, make_optimizer

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


def optimizer(**changes: Any) -> Optimizer:
    settings: dict[str, Any] = {
        "learning_rate": 0.1,
        "warmup_steps": 10,
        "final_learning_rate": 0.01,
        "weight_decay": 0.0,
        "beta1": 0.9,
        "beta2": 0.98,
        "clip_norm": None,
    }
    return make_optimizer(**settings | changes, steps=110, parameters=PARAMETERS)


@pytest.mark.parametrize(
    ("gradient", "expected"),
    [
        (0.0, {"weights": -0.05, "bias": 0.0, "slow": -0.0125, "steps": 0.0}),
        (1.0, {"weights": -0.15, "bias": -0.1, "slow": -0.0375, "steps": -0.05}),
    ],
)
def test_parameters_decay_and_learn_as_they_say(gradient, expected):
    """Of a constant gradient AdamW's first update is the rate, and half of that the decay."""
    of = optimizer(warmup_steps=0, weight_decay=0.5).transformation
    gradients = jax.tree.map(lambda p: jnp.full_like(p, gradient), PARAMS)
    updates, _ = of.update(gradients, of.init(PARAMS), PARAMS)
    found = {name: np.unique(update).tolist() for name, update in updates.items()}
    assert found == {name: pytest.approx([value]) for name, value in expected.items()}
