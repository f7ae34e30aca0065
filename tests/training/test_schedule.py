"""The learning rate of each update, by the definition in plain Python, and that it is what acts."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.errors import ConfigError
from seqmodels.parameters import About
from seqmodels.tasks import TASKS
from seqmodels.tasks.lengths import Lengths
from seqmodels.training.optimizer import Optimizer, make_optimizer
from seqmodels.training.schedules import SCHEDULES


def optimizer(
    peak: float, warmup: int, final: float, steps: int, schedule: Any = "cosine", **more: Any
) -> Optimizer:
    settings = {"learning_rate": peak, "warmup_steps": warmup, "final_learning_rate": final}
    schedule = {"kind": schedule} if isinstance(schedule, str) else schedule
    settings |= {"schedule": schedule, "clip_norm": None}
    parameters = {"bias": About(("D",), decays=False)}
    return make_optimizer({**settings, **more}, steps, parameters)


LEFT = {
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "constant": lambda done: 1.0,
    "linear": lambda done: 1 - done,
    "wsd": lambda done: 1.0 if done <= 0.8 else (1 - done) / 0.2,
}
"""How much of the way from the peak to the final rate is left, by the part of it that is done."""


def by_definition(peak: float, warmup: int, final: float, steps: int, kind: str = "cosine") -> list:
    top, rates = max(warmup - 1, 0), []
    for i in range(steps):
        if i <= top:
            rates.append(peak * (i + 1) / max(warmup, 1))
        else:
            rates.append(final + (peak - final) * LEFT[kind]((i - top) / (steps - 1 - top)))
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


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_goes_from_the_peak_to_its_end(name):
    """As is done once the warm-up has ended, and by its own definition."""
    final = 0.1 if SCHEDULES[name].falls else 0.0
    for warmup, steps in ((0, 1), (2, 3), (3, 103)):
        of = optimizer(0.5, warmup, final, steps, name)
        found = np.asarray(jax.jit(of.learning_rate)(jnp.arange(steps)))
        expected = by_definition(0.5, warmup, final, steps, name)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
        top = max(warmup - 1, 0)
        last = final if SCHEDULES[name].falls and steps - 1 > top else 0.5
        assert (found[top], found[-1]) == (np.float32(0.5), np.float32(last))


def test_a_stable_rate_falls_where_it_is_told_to():
    """10 updates after the peak, of which the last 4 fall."""
    rate = optimizer(1.0, 3, 0.2, 13, {"kind": "wsd", "decay_share": 0.4}).learning_rate
    found = np.asarray(jax.jit(rate)(jnp.arange(13))).tolist()
    third = [1 / 3, 2 / 3]
    assert found == pytest.approx([*third, *[1.0] * 7, 0.8, 0.6, 0.4, 0.2], abs=1e-6)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("cosin", r"^optimizer.schedule.kind='cosin' is not known; did you mean 'cosine'\?"),
        (
            {"kind": "wsd", "decay_share": 1.5},
            r"^optimizer.schedule.decay_share=1.5 is not above 0 and at most 1$",
        ),
        (
            {"kind": "linear", "decay_share": 0.5},
            r"^optimizer.schedule.decay_share=0.5 is never read by Linear;",
        ),
        ("constant", r"^optimizer.final_learning_rate=0.1 is never read with schedule.kind='const"),
    ],
)
def test_what_no_schedule_is_gets_a_line(schedule, message):
    with pytest.raises(ConfigError, match=message):
        optimizer(1.0, 0, 0.1, 10, schedule)


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
