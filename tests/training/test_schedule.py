"""The learning rate of each update, by the definition in plain Python, and that it is what acts."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.parameters import About
from seqmodels.tasks import TASKS
from seqmodels.tasks.lengths import Lengths
from seqmodels.training.optimizer import Optimizer, make_optimizer


def optimizer(peak: float, warmup: int, final: float, steps: int, clip=None) -> Optimizer:
    settings = {"learning_rate": peak, "warmup_steps": warmup, "final_learning_rate": final}
    parameters = {"bias": About(("D",), decays=False)}
    return make_optimizer({**settings, "clip_norm": clip}, steps, parameters)


def by_definition(peak: float, warmup: int, final: float, steps: int) -> list[float]:
    top, rates = max(warmup - 1, 0), []
    for i in range(steps):
        if i <= top:
            rates.append(peak * (i + 1) / max(warmup, 1))
        else:
            angle = math.pi * (i - top) / (steps - 1 - top)
            rates.append(final + (peak - final) * (1 + math.cos(angle)) / 2)
    return rates


@pytest.mark.parametrize("peak", [1.0, 3e-4])
@pytest.mark.parametrize("final", [0.0, 0.1, 2.0])
@pytest.mark.parametrize(
    ("warmup", "steps"),
    [(0, 1), (0, 2), (1, 2), (0, 10), (1, 10), (2, 10), (9, 10), (200, 2000), (0, 20_000)],
)
def test_every_rate_is_that_of_the_definition(peak, final, warmup, steps):
    rate = jax.jit(jax.vmap(optimizer(peak, warmup, final, steps).learning_rate))
    found = np.asarray(rate(jnp.arange(steps)))
    expected = by_definition(peak, warmup, final, steps)
    # float32 rounds at the scale of the larger of the two rates that it goes between.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-7 * max(peak, final))
    assert found[max(warmup - 1, 0)] == np.float32(peak)
    assert found[-1] == np.float32(final if steps - 1 > max(warmup - 1, 0) else peak)


@pytest.mark.parametrize(("warmup", "steps"), [(0, 3), (2, 3), (0, 1)])
def test_the_rate_that_is_logged_is_the_one_that_acts(warmup, steps):
    """AdamW's update of a constant gradient is the rate, times -1."""
    of = optimizer(0.5, warmup, 0.125, steps)
    params = {"bias": jnp.ones(2)}
    moments = of.transformation.init(params)
    used = []
    for _ in range(steps):
        updates, moments = of.transformation.update({"bias": jnp.ones(2)}, moments, params)
        used.append(-float(updates["bias"][0]))
    logged = [float(of.learning_rate(update)) for update in range(steps)]
    assert used == pytest.approx(logged, rel=1e-4)
    assert used == pytest.approx(by_definition(0.5, warmup, 0.125, steps), rel=1e-4)


@pytest.mark.parametrize("curriculum", [1, 2, 10])
def test_a_curriculum_too_ends_where_it_says(curriculum):
    """The limit rises from the shortest at the first step to the greatest at the last of them."""
    lengths = Lengths(
        TASKS["parity"](seed=0), 0, 1, 64, "curriculum", shortest=8, curriculum_steps=curriculum
    )
    limits = [lengths.limit(step) for step in range(curriculum)]
    expected = [
        8 + 56 * step // (curriculum - 1) if curriculum > 1 else 64 for step in range(curriculum)
    ]
    assert limits == expected
    assert limits[-1] == lengths.limit(10**6) == 64
