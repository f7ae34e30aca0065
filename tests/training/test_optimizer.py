"""What decays, and by how much."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.training.optimizer import Optimizer, make_optimizer


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
    return make_optimizer(**settings | changes, steps=110)


def test_matrices_decay_and_vectors_do_not():
    """With no gradient the decay is all that there is."""
    of = optimizer(warmup_steps=0, weight_decay=0.5).transformation
    params = {"weights": jnp.ones((2, 3)), "bias": jnp.ones(3), "kernel": jnp.ones((2, 2, 2))}
    updates, _ = of.update(jax.tree.map(jnp.zeros_like, params), of.init(params), params)
    found = {name: np.unique(update).tolist() for name, update in updates.items()}
    assert found == {
        "weights": pytest.approx([-0.05]),
        "kernel": pytest.approx([-0.05]),
        "bias": [0.0],
    }
