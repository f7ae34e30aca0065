"""Recurrences by Newton's method: the states and gradients of the steps, in a few rounds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.errors import ParameterError
from seqmodels.mixers import GRU, LSTM, RNN
from seqmodels.observing import observed
from seqmodels.ops import newton, recurrence
from seqmodels.ops.cells import SIMPLE
from tests.mixers.variants import normal
from tests.soaking import soak_only

LENGTH, WIDTH = 130, 8
MASK = jnp.arange(LENGTH)[None] < jnp.array([[LENGTH], [90]])


def results(kind: str, weights_scale: float = 0.7):
    """Outputs, last states and all gradients of a recurrence by a form, and its rounds."""
    gates, count = {"gru": (3, 1), "lstm": (4, 2), "simple_rnn": (1, 1)}[kind]
    inputs = normal((2, LENGTH, gates * WIDTH))
    weights = normal((WIDTH, gates * WIDTH), seed=1) * weights_scale * WIDTH**-0.5
    states = tuple(normal((2, WIDTH), seed=2 + i) for i in range(count))
    bias = (normal((WIDTH,), seed=5),) if kind == "gru" else ()

    @partial(jax.jit, static_argnums=0)
    def run(form, inputs, weights, bias, states):
        def call(inputs, weights, bias, states):
            state = states if count > 1 else states[0]
            op = getattr(recurrence, kind)
            (made, seen) = observed(op)(inputs, weights, *bias, state, MASK, form=form)
            return made, seen

        made, pull, seen = jax.vjp(call, inputs, weights, bias, states, has_aux=True)
        return made, pull(jax.tree.map(lambda a: jnp.cos(a + 1), made)), seen

    return lambda form: run(form, inputs, weights, bias, states)


def assert_near(found, expected) -> None:
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.linalg.norm(a - b) < 1e-5 * np.linalg.norm(b)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "forms"),
    [
        ("gru", ("newton", "quasi", "damped")),
        soak_only("lstm", ("newton", "quasi")),
        ("simple_rnn", ("quasi",)),
    ],
)
def test_each_linearisation_gives_the_steps_and_their_gradients(kind, forms):
    run = results(kind)
    outputs, gradients, _ = run("steps")
    for form in forms:
        found, found_gradients, seen = run(form)
        assert_near(found, outputs)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
            found_gradients,
            gradients,
        )
        assert 1 < seen["rounds"] < newton.MOST_ROUNDS + (form == "damped"), form


def test_what_does_not_settle_is_computed_step_by_step(monkeypatch):
    monkeypatch.setattr(newton, "MOST_ROUNDS", 2)
    run = results("gru", weights_scale=4.0)
    found, _, seen = run("quasi")
    assert seen["rounds"] == 2
    assert_near(found, run("steps")[0])


def test_a_damped_guess_stays_where_the_linear_recurrence_runs_away():
    """From zeros each step of ``h = tanh(4 h + x)`` is taken for one of four times h."""
    inputs = 0.1 * normal((2, LENGTH, WIDTH))
    states = (jnp.zeros((2, WIDTH)),)
    problem = (SIMPLE["tanh"], jnp.asarray(inputs), 4 * jnp.eye(WIDTH), None, states, None)
    zeros = jnp.zeros((2, LENGTH, WIDTH))
    quasi, damped = (
        jax.jit(partial(newton.improved, problem, kind=kind))(zeros) for kind in ("quasi", "damped")
    )
    assert not np.abs(quasi).max() < 1e30
    assert np.abs(damped).max() < 10


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_a_form_is_a_setting(kind):
    mixer = nnx.eval_shape(lambda: kind(WIDTH, form="quasi", rngs=nnx.Rngs(0)))
    assert mixer.cost(256).sequential_depth == newton.depth(256)
    assert (
        mixer.cost(256).flops
        == nnx.eval_shape(lambda: kind(WIDTH, rngs=nnx.Rngs(0))).cost(256).flops
    )
    with pytest.raises(ParameterError, match="form='newton' has Jacobians of up to 32 numbers of"):
        nnx.eval_shape(lambda: kind(64, form="newton", rngs=nnx.Rngs(0)))
    with pytest.raises(ParameterError, match="form='quazi' is no form of recurrence; did you mean"):
        nnx.eval_shape(lambda: kind(WIDTH, form="quazi", rngs=nnx.Rngs(0)))
