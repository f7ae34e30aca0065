"""A state that was saved and restored takes the next step bit by bit as one that was not."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from seqmodels.parameters import About
from seqmodels.training.checkpoint import Checkpoints
from seqmodels.training.optimizer import OPTIMIZERS, make_optimizer
from seqmodels.training.schedules import SCHEDULES
from seqmodels.training.sharding import make_mesh, replicated
from seqmodels.training.step import TrainState, evaluated
from tests.states import abstract_state

PARAMETERS = {
    "weights": About(("D", "F"), decays=True),
    "bias": About(("F",), decays=False, rate=0.5),
}
SETTINGS: dict[str, dict[str, Any]] = {
    **{f"{kind} with its schedule": {"kind": kind} for kind in OPTIMIZERS},
    **{f"adamw with {kind}": {"schedule": {"kind": kind}} for kind in SCHEDULES},
    "adamw with an average": {"average": 0.9},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_a_step_after_a_restore_is_the_step_without(name, tmp_path):
    settings = {"learning_rate": 0.1, "warmup_steps": 2, **SETTINGS[name]}
    optimizer = make_optimizer(settings, 5, PARAMETERS)
    random = np.random.default_rng(0)
    gradients = [
        {"weights": jnp.asarray(g[:6].reshape(2, 3)), "bias": jnp.asarray(g[6:])}
        for g in random.normal(size=(4, 9)).astype(np.float32)
    ]

    @jax.jit
    def step(state: TrainState, gradient: Any) -> TrainState:
        updates, moments = optimizer.transformation.update(gradient, state.optimizer, state.params)
        return TrainState(state.step + 1, optax.apply_updates(state.params, updates), moments)  # type: ignore[arg-type]

    def begin() -> TrainState:
        params = {"weights": jnp.ones((2, 3)), "bias": jnp.ones(3)}
        return TrainState(jnp.zeros((), jnp.int32), params, optimizer.transformation.init(params))

    state = jax.jit(begin)()
    for gradient in gradients[:3]:
        state = step(state, gradient)
    checkpoints = Checkpoints(tmp_path, "accuracy", True, pytest.fail)
    checkpoints.save(state, 3, None)
    checkpoints.wait()
    like = abstract_state(begin, replicated(make_mesh(1)))
    number, restored = checkpoints.restore("latest", like)
    checkpoints.close()
    assert number == 3
    scored = evaluated(optimizer, state)
    averages = name in ("schedule_free with its schedule", "adamw with an average")
    own = all((scored[leaf] == state.params[leaf]).all() for leaf in scored)
    assert own != averages, "what is scored is an average, or the parameters themselves"
    for a, b in ((state, restored), (step(state, gradients[3]), step(restored, gradients[3]))):
        assert jax.tree.structure(a) == jax.tree.structure(b)
        both = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
        assert all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in both)
        assert all(
            (np.asarray(x) == np.asarray(y)).all()
            for x, y in zip(*(evaluated(optimizer, of).values() for of in (a, b)), strict=True)
        )
