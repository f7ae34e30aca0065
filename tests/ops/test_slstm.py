"""Every form of sLSTM against its equations in float64, without what keeps it from overflowing."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from seqmodels.ops.slstm import LOWEST, SLSTM, slstm
from tests.ops.test_matrix_state import error

B, L, H, K = 2, 70, 2, 3


def arguments() -> dict[str, Any]:
    """Inputs, weights and a state that has been read into, m 0."""
    random = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    h, c, n = normal(B, H, K), normal(B, H, K), 1 + np.abs(normal(B, H, K))
    return {
        "inputs": normal(B, L, 4, H, K),
        "weights": 0.5 * normal(H, K, 4, K),
        "state": (h, c, n),
    }


def plain(given: dict[str, Any], valid: Any) -> Any:
    """``lax.scan`` of the equations."""

    def step(state, row):
        h, c, n = state
        x, real = row
        i, f, z, o = jnp.moveaxis(x + jnp.einsum("bhk,hkgj->bghj", h, given["weights"]), 1, 0)
        forget, let_in = 1 / (1 + jnp.exp(-f)), jnp.exp(i)
        c, n = forget * c + let_in * jnp.tanh(z), forget * n + let_in
        new = (c / n / (1 + jnp.exp(-o)), c, n)
        real = real[:, None, None]
        state = tuple(jnp.where(real, a, b) for a, b in zip(new, state, strict=True))
        return state, state[0]

    state, outputs = lax.scan(step, given["state"], (jnp.swapaxes(given["inputs"], 0, 1), valid.T))
    return jnp.swapaxes(outputs, 0, 1), *state


def ours(form: str, given: dict[str, Any], valid: Any) -> Any:
    """The same, with c and n as they are where m is 0."""
    h, c, n = given["state"]
    outputs, (h, c, n, m) = slstm(
        given["inputs"], given["weights"], (h, c, n, jnp.zeros_like(h)), valid, form=form
    )
    return outputs, h, c * jnp.exp(m), n * jnp.exp(m)


def with_gradients(function: Any, given: dict[str, Any], valid: Any) -> Any:
    """All that it returns, and the gradients of its arguments."""
    made, pull = jax.vjp(lambda given: function(given, valid), given)
    return made, pull(jax.tree.map(lambda x: jnp.cos(jnp.arange(x.size)).reshape(x.shape), made))


@pytest.mark.parametrize("form", SLSTM.forms)
def test_each_form_equals_the_reference(form):
    given, valid = arguments(), np.random.default_rng(1).random((B, L)) < 0.8
    found = jax.jit(partial(with_gradients, partial(ours, form)))(given, valid)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: x.astype(np.float64), given)
        wanted = jax.jit(partial(with_gradients, plain))(wide, valid)
    for (path, value), got in zip(
        jax.tree.leaves_with_path(wanted), jax.tree.leaves(found), strict=True
    ):
        assert error(got, value) < 1e-4, path


def test_gates_of_any_size_neither_overflow_nor_vanish():
    """Logits of 1,000, on either side, from where nothing has been let in."""
    zeros = jnp.zeros((1, 1, 1))
    inputs = jnp.asarray(np.array([-1000, 1000, -1000, 0], np.float32).reshape(1, 4, 1, 1, 1))
    inputs = jnp.broadcast_to(inputs, (1, 4, 4, 1, 1)).at[:, :, 2].set(1.0).at[:, :, 3].set(0.0)
    state = (zeros, zeros, zeros, jnp.full((1, 1, 1), LOWEST))
    outputs, _ = slstm(inputs, jnp.zeros((1, 1, 4, 1)), state)
    # c / n is a mean of tanh(z), and o is half open.
    np.testing.assert_allclose(outputs.ravel(), 0.5 * np.tanh(1), rtol=1e-6)
