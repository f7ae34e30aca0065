"""What each optimizer does with what parameters say of themselves, and by its paper's equations."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from seqmodels.errors import ConfigError
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
    of = optimizer(kind=name, weight_decay=0.5).transformation
    update = jax.jit(of.update)
    none, some = (jax.tree.map(lambda p, g=g: jnp.full_like(p, g), PARAMS) for g in (0.0, 1.0))
    state = of.init(PARAMS)
    updates, _ = update(none, state, PARAMS)
    decayed = {"weights": -0.05, "bias": 0.0, "slow": -0.0125, "steps": 0.0}
    for leaf, value in decayed.items():
        np.testing.assert_allclose(updates[leaf], value, rtol=1e-5, atol=2e-7)
    updates, after = update(some, state, PARAMS)
    assert all((np.isfinite(value) & (np.asarray(value) < 0)).all() for value in updates.values())
    np.testing.assert_allclose(updates["steps"][0], 0.5 * updates["bias"][0, 0], rtol=1e-5)
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


class Descended:
    """A parameter [4] that decays, after some updates by gradients that are drawn."""

    def __init__(self, **settings: Any):
        self.gradients = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
        about = {"w": About(("D",), decays=True, rate=0.5)}
        whole = {"learning_rate": 0.1, "clip_norm": None, **settings}
        self.of = make_optimizer(whole, len(self.gradients), about)
        self.rates = [float(self.of.learning_rate(i)) for i in range(len(self.gradients))]
        update = jax.jit(self.of.transformation.update)
        self.start = np.linspace(-1, 1, 4)
        params = {"w": jnp.asarray(self.start, jnp.float32)}
        self.state = self.of.transformation.init(params)
        for gradient in self.gradients:
            updates, self.state = update({"w": jnp.asarray(gradient)}, self.state, params)
            params = optax.apply_updates(params, updates)
        self.params: Any = params

    def check(self, direction: Any, decay: float) -> None:
        """Against steps along a direction, which is given each gradient and its number from 1."""
        w = self.start
        for number, (rate, gradient) in enumerate(zip(self.rates, self.gradients, strict=True), 1):
            w = w - 0.5 * rate * (direction(gradient.astype(float), number) + decay * w)
        np.testing.assert_allclose(self.params["w"], w, rtol=1e-4, atol=1e-5)


def test_lion_is_its_papers():
    """Chen et al. 2023, algorithm 2: the sign of a mean, which moves on by another factor."""
    mean = np.zeros(4)

    def direction(gradient, number):
        nonlocal mean
        sign = np.sign(0.9 * mean + 0.1 * gradient)
        mean = 0.99 * mean + 0.01 * gradient
        return sign

    Descended(kind="lion").check(direction, 0.5)


def test_sgd_and_rmsprop_are_their_papers():
    total, squares = np.zeros(4), np.zeros(4)

    def fading(gradient, number):
        nonlocal total
        total = 0.9 * total + gradient
        return total

    def scaled(gradient, number):
        nonlocal squares
        squares = 0.99 * squares + 0.01 * gradient**2
        return gradient / np.sqrt(squares / (1 - 0.99**number))

    Descended(kind="sgd").check(fading, 0.0)
    Descended(kind="rmsprop", weight_decay=0.1).check(scaled, 0.1)


def test_schedule_free_is_its_papers():
    """Defazio et al. 2024, algorithm 1: z descends, x is its mean, gradients are taken between."""
    found = Descended(kind="schedule_free", warmup_steps=2)
    assert found.rates == pytest.approx([0.05, 0.1, 0.1, 0.1, 0.1])
    x = y = z = found.start
    squares, weights = np.zeros(4), 0.0
    for number, (rate, gradient) in enumerate(zip(found.rates, found.gradients, strict=True), 1):
        squares = 0.98 * squares + 0.02 * gradient.astype(float) ** 2
        step = gradient / np.sqrt(squares / (1 - 0.98**number)) + 0.05 * y
        z = z - 0.5 * rate * step
        weights += rate**2
        x = x + (z - x) * rate**2 / weights
        y = 0.1 * z + 0.9 * x
    np.testing.assert_allclose(found.params["w"], y, rtol=1e-4, atol=1e-5)
    evaluated: Any = found.of.evaluated(found.state, found.params)
    np.testing.assert_allclose(evaluated["w"], x, rtol=1e-4, atol=1e-5)
    assert np.abs(x - y).max() > 1e-3, "or it would make no difference"


def test_an_average_is_of_all_that_was_reached():
    """Each counts a decay less than the next, and together they count 1."""
    found = Descended(kind="sgd", momentum=0.0, average=0.9)
    w, reached = found.start, []
    for rate, gradient in zip(found.rates, found.gradients, strict=True):
        w = w - 0.5 * rate * gradient
        reached.append(w)
    expected = np.average(reached, axis=0, weights=0.9 ** np.arange(4, -1, -1))
    evaluated: Any = found.of.evaluated(found.state, found.params)
    np.testing.assert_allclose(evaluated["w"], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.params["w"], w, rtol=1e-4, atol=1e-6)


def orthogonal(matrix: np.ndarray) -> np.ndarray:
    """Five rounds of a polynomial of singular values (Jordan 2024), which brings all near 1."""
    x = matrix / np.linalg.norm(matrix)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


def test_muon_makes_each_matrix_orthogonal():
    """As its letters say: of a projection to heads one, of a matrix a head as many, of the rest
    none."""
    letters = {"heads": "DHK", "each": "HKK", "table": "VD", "bias": "HK"}
    parameters = {k: About((*v,), decays=k != "bias") for k, v in letters.items()}
    random = np.random.default_rng(1)
    gradients = {name: random.normal(size=(3, 2, 2)[: len(of)]) for name, of in letters.items()}
    params = jax.tree.map(lambda g: jnp.ones(g.shape), gradients)
    settings = {"kind": "muon", "learning_rate": 0.1, "weight_decay": 0.0, "clip_norm": None}
    of = make_optimizer(settings, 10, parameters).transformation
    as_given = {name: jnp.asarray(g, jnp.float32) for name, g in gradients.items()}
    updates, _ = jax.jit(of.update)(as_given, of.init(params), params)
    heads = orthogonal(gradients["heads"].reshape(3, 4)).reshape(3, 2, 2) * 2
    each = np.stack([orthogonal(g) for g in gradients["each"]]) * np.sqrt(2)
    signs = {name: np.sign(gradients[name]) for name in ("table", "bias")}
    for name, expected in {"heads": 0.2 * heads, "each": 0.2 * each, **signs}.items():
        np.testing.assert_allclose(updates[name], -0.1 * expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "schedule_free", "beta1": 0.0}, r"^optimizer.beta1=0.0 is not above 0: "),
        ({"kind": "sgd", "momentum": 1.0}, r"^optimizer.momentum=1.0 is not at least 0 and bel"),
        ({"kind": "muon", "momentum": -0.1}, r"^optimizer.momentum=-0.1 is not at least 0 and"),
        ({"average": 1.0}, r"^optimizer.average=1.0 is not above 0 and below 1 or None$"),
        (
            {"kind": "schedule_free", "average": 0.9},
            r"^optimizer.average=0.9 is never read with kind='schedule_free'; leave it None$",
        ),
        ({"kind": "rmsprop", "beta1": 0.9}, r"^optimizer.beta1=0.9 is never read by RMSProp; "),
    ],
)
def test_what_no_optimizer_takes_gets_a_line(settings, message):
    with pytest.raises(ConfigError, match=message):
        optimizer(**settings)
