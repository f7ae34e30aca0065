"""The learning rate of each step, and what decays."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.training.optimizer import Optimizer, make_optimizer


def optimizer(**changes: Any) -> Optimizer:
    """A peak of 0.1 after 10 of 110 steps, and 0.01 at the end."""
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


def test_the_learning_rate_rises_evenly_and_falls_as_a_cosine():
    rate = optimizer().learning_rate
    rising = [float(rate(step)) for step in range(11)]
    np.testing.assert_allclose(rising, np.arange(11) / 100, rtol=1e-5, atol=1e-9)
    falling = [float(rate(step)) for step in (35, 60, 85, 110)]
    share = [(1 + math.cos(math.pi * done)) / 2 for done in (0.25, 0.5, 0.75, 1.0)]
    np.testing.assert_allclose(falling, 0.01 + 0.09 * np.array(share), rtol=1e-5)


def test_without_a_warm_up_the_first_step_has_the_peak():
    rate = optimizer(warmup_steps=0).learning_rate
    assert [float(rate(step)) for step in (0, 110)] == pytest.approx([0.1, 0.01])


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
