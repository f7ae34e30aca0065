"""What mixers show of their states: decays of recurrences, and norms of matrices.

Asked of every kind in MIXERS that has a state of one size, by what it does: of rows that begin from
states which differ, so much of the difference is left after a token as the decay says.
"""

from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from seqmodels import observing
from seqmodels.mixers import Context, Mixer
from seqmodels.observing import observed
from tests.mixers.variants import CASES, WIDTH, each_kind, make, noisy_weights, normal

ROWS, LENGTH = 4, 3
VALID = np.arange(LENGTH)[None] < np.array([[3], [3], [3], [2]])


def of_one_size(mixer: Mixer) -> list[str]:
    """The axes of those parts of a state that keep no positions."""
    every = jax.tree.leaves(mixer.state_letters) if mixer.has_state else []
    return [axes for axes in every if not {"L", "W"} & set(axes.split())]


def decaying(kind: str, state: Any) -> list[np.ndarray]:
    """What decays multiply: one array, or the two of complex numbers."""
    if isinstance(state, dict):
        return [state[next(name for name in ("matrix", "c", "h") if name in state)]]
    if isinstance(state, tuple):
        return [state[1]] if kind == "lstm" else list(state)
    return [state]


def whole(kind: str, state: Any) -> np.ndarray:
    """Those as one array; xLSTM's, which are kept times exp(-m), without that factor."""
    first, *second = map(np.asarray, decaying(kind, state))
    scale = np.ones(ROWS)
    if isinstance(state, dict):
        scale = np.exp(np.asarray(state.get("largest", state.get("m", np.zeros(ROWS)))))
    scale = scale.reshape(*scale.shape, *[1] * (first.ndim - scale.ndim))
    return scale * (first + 1j * second[0] if second else first)


def simpler(kind: str, params: dict) -> dict:
    """Delta rules that erase nothing, and a GRU whose gates don't see its state."""

    def change(path, leaf):
        names = [key.key for key in path]
        if names[0] in ("strengths", "strength_up") and names[-1] == "bias":
            return leaf - 1e4
        return 0 * leaf if (kind, names) == ("gru", ["weights"]) else leaf

    return jax.tree_util.tree_map_with_path(change, params)


def begin(kind: str, mixer: Mixer) -> Any:
    """Rows that begin from a state, from that and d, that and 2 d, and d in one number alone."""
    shapes = jax.eval_shape(lambda: mixer.initial_state(1, 9))
    state = jax.tree.map(
        lambda leaf: np.repeat(np.abs(normal(leaf.shape, leaf.size)), ROWS, axis=0), shapes
    )
    for seed, part in enumerate(decaying(kind, state)):
        change = normal(part.shape[1:], seed)
        alone = np.where(np.arange(change.size) == 1, change.ravel(), 0).reshape(change.shape)
        part += np.stack([0 * change, change, 2 * change, alone])
    return state


@pytest.fixture
def lazily(monkeypatch):
    """What is shown is made where somebody looks, and nowhere else."""
    take = observing._Observer.take

    def check(self, name, value):
        assert callable(value), f"{name} is computed although nobody may look"
        return take(self, name, value)

    monkeypatch.setattr(observing._Observer, "take", check)


@pytest.mark.slow
@each_kind
@pytest.mark.usefixtures("lazily")
def test_decays_and_norms_are_those_of_the_state(name):
    kind, settings = CASES[name]
    mixer = make(kind, settings)
    if not of_one_size(mixer):
        return
    graph = nnx.split(mixer, nnx.Param)[0]

    @jax.jit
    def read(params, state, x):
        def extend(length, valid):
            context = Context.of(ROWS, length, valid)
            return nnx.merge(graph, params).extend(x[:, :length], state, context)[1]

        return observed(extend)(1, None), observed(extend)(LENGTH, VALID)

    state = begin(kind, mixer)
    x = np.repeat(normal((1, LENGTH, WIDTH)), ROWS, axis=0)
    (one, seen), (last, later) = read(simpler(kind, noisy_weights(kind, settings)), state, x)
    if any("U" in axes for axes in of_one_size(mixer)):
        norms = [np.linalg.norm(whole(kind, s), axis=(2, 3)) for s in (one, last)]
        np.testing.assert_allclose(seen["state_norm"][:, 0], norms[0], rtol=1e-4)
        np.testing.assert_allclose(later["state_norm"][:, 0], norms[0], rtol=1e-4)
        np.testing.assert_allclose(later["state_norm"][:3, 2], norms[1][:3], rtol=1e-4)
        assert np.isnan(later["state_norm"][3, 2]).all()
    before, after = (np.abs(each - each[:1]) for each in (whole(kind, state), whole(kind, one)))
    if not np.allclose(after[2], 2 * after[1], rtol=1e-2, atol=1e-4):
        assert kind == "rnn", "what is no linear recurrence has a case in this file"
        assert "log_decay" not in seen
        return
    left = after[1] / before[1]
    if "log_decay" not in seen:
        np.testing.assert_allclose(left, 1, rtol=1e-3, err_msg="it decays: observe_decay shows it")
        return
    shown = np.exp(np.asarray(seen["log_decay"])[0, 0])  # [H, *features]
    if "H" not in "".join(of_one_size(mixer)):
        (shown,) = shown
    shown = shown.reshape(*shown.shape, *[1] * (left.ndim - shown.ndim))
    np.testing.assert_allclose(left, np.broadcast_to(shown, left.shape), rtol=1e-2, atol=1e-5)
    assert later["log_decay"].shape[1] in (1, LENGTH)
    assert np.isnan(later["log_decay"][-1, -1]).all() == (later["log_decay"].shape[1] == LENGTH)


def test_forgetting_gates_and_both_directions_are_shown():
    """Attention's gates are no state's, and a mixer in two directions shows each one's own."""
    mixer = make("attention", {"forgetting": True, "heads": 2})
    graph, params = nnx.split(mixer, nnx.Param)
    x, valid = normal((2, 5, WIDTH)), np.arange(5)[None] < np.array([[5], [3]])

    def of(graph):
        def call(params, x):
            built = nnx.merge(graph, params)
            return built(x, built.context(x, valid))

        return observed(call)

    params = noisy_weights("attention", {"forgetting": True, "heads": 2})
    _, seen = jax.jit(of(graph))(params, x)
    gates = params["forgetting"]["gates"]
    expected = -np.log1p(np.exp(-(x @ gates["weights"] + gates["bias"])))
    expected[1, 3:] = np.nan
    np.testing.assert_allclose(seen["log_decay"], expected, rtol=1e-4)
    both = make("bidirectional", {"mixer": {"kind": "lstm"}})
    graph, params = nnx.split(both, nnx.Param)
    _, seen = jax.eval_shape(of(graph), nnx.to_pure_dict(params), x)
    assert {name: leaf.shape for name, leaf in seen.items()} == {
        "forward.log_decay": (2, 5, 1, WIDTH),
        "backward.log_decay": (2, 5, 1, WIDTH),
    }
