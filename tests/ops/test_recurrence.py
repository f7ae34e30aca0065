"""Every form of the recurrences against ``lax.scan`` and autodiff in float64."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from seqmodels.ops import recurrence
from tests.ops import plain_recurrence

BATCH, WIDTH = 4, 8


class Op(NamedTuple):
    """An op, and the step of its reference."""

    fast: Callable[..., Any]
    step: Callable[..., Any]
    gates: int
    states: int = 1
    bias: bool = False

    def arguments(self, length: int, dtype: Any = jnp.float32) -> dict[str, Any]:
        rng = np.random.default_rng(length)

        def normal(*shape: int) -> np.ndarray:
            return rng.normal(size=shape).astype(np.float32)

        weights = normal(WIDTH, self.gates * WIDTH) * 0.7 * WIDTH**-0.5
        states = tuple(normal(BATCH, WIDTH) for _ in range(self.states))
        return {
            "inputs": normal(BATCH, length, self.gates * WIDTH).astype(dtype),
            "weights": weights,
            "bias": normal(WIDTH) if self.bias else None,
            "state": states if self.states > 1 else states[0],
        }

    def run(self, arguments: dict[str, Any], mask: Any = None, form: str | None = None) -> Any:
        """The outputs and the last state."""
        bias = (arguments["bias"],) if self.bias else ()
        given = (arguments["inputs"], arguments["weights"], *bias, arguments["state"])
        return self.fast(*given, mask=mask, form=form)


OPS = {
    "tanh": Op(recurrence.simple_rnn, plain_recurrence.simple_rnn, gates=1),
    "relu": Op(
        partial(recurrence.simple_rnn, activation="relu"),
        partial(plain_recurrence.simple_rnn, activation="relu"),
        gates=1,
    ),
    "lstm": Op(recurrence.lstm, plain_recurrence.lstm, gates=4, states=2),
    "gru": Op(recurrence.gru, plain_recurrence.gru, gates=3, bias=True),
}


@pytest.fixture(params=OPS)
def op(request) -> Op:
    return OPS[request.param]


# Compilation is nearly all of the time here, and LLVM's optimisations are half of it.
QUICKLY = {"xla_backend_optimization_level": 0}


def gradients(function: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Outputs and last state, and the gradients of all arguments through both at once."""
    (outputs, state), backward = jax.vjp(function, arguments)

    def cotangent(a):  # of no particular direction, and the same for every function
        return np.cos(np.arange(a.size, dtype=np.float32)).reshape(a.shape).astype(a.dtype)

    (found,) = backward(jax.tree.map(cotangent, (outputs, state)))
    return {"outputs": outputs, "state": state, "gradients": found}


@partial(jax.jit, static_argnums=(0, 1), compiler_options=QUICKLY)
def results(op: Op, form: str | None, arguments: dict[str, Any], mask: Any) -> Any:
    """What an op makes of its arguments."""
    return gradients(lambda a: op.run(a, mask, form), arguments)


@partial(jax.jit, static_argnums=0)
def _expected(op: Op, arguments: dict[str, Any], mask: Any) -> Any:
    return gradients(lambda a: plain_recurrence.run(op.step, a, mask), arguments)


def expected(op: Op, arguments: dict[str, Any], mask: Any = None) -> Any:
    """The same of its reference, in float64."""
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: np.asarray(x).astype(np.float64), arguments)
        return jax.tree.map(np.asarray, _expected(op, wide, mask))


def assert_close(actual: Any, expected: Any, tolerance: float) -> None:
    """Every leaf is within the tolerance of its largest value or of 1."""
    expected, structure = jax.tree.flatten_with_path(expected)
    for (path, wanted), got in zip(expected, structure.flatten_up_to(actual), strict=True):
        assert got.shape == wanted.shape
        got, wanted = (np.asarray(a, np.float64) for a in (got, wanted))
        error = np.abs(got - wanted).max() / max(1, np.abs(wanted).max())
        assert error <= tolerance, f"{jax.tree_util.keystr(path)} is off by {error:.1e}"


# In bfloat16 what is kept for the backward pass is rounded to 2^-9 of its value, at every step.
TOLERANCE = {jnp.float32: 5e-6, jnp.bfloat16: 0.03}


def check_equal(op: Op, form: str, length: int, dtype: Any) -> None:
    arguments = op.arguments(length, dtype)
    actual = results(op, form, arguments, None)
    assert_close(actual, expected(op, arguments), TOLERANCE[dtype])
    assert actual["outputs"].dtype == actual["gradients"]["inputs"].dtype == dtype
    assert {leaf.dtype for leaf in jax.tree.leaves(actual["state"])} == {jnp.dtype("float32")}


each_form = pytest.mark.parametrize("form", ["steps"])
"""Those by Newton's method stand in test_newton.py."""


@each_form
@pytest.mark.parametrize(
    ("length", "dtype"),
    [
        (63, jnp.float32),
        pytest.param(130, jnp.bfloat16, marks=pytest.mark.slow),
    ],
)
def test_each_form_equals_the_reference(op, form, length, dtype):
    """At some lengths; soak/soak_recurrence.py has more, each in both types."""
    check_equal(op, form, length, dtype)


MASKS = {
    "random": np.random.default_rng(9).random((BATCH, 20)) < 0.6,
    "left": np.arange(20)[None] >= np.array([[0], [1], [7], [19]]),
    "right": np.arange(20)[None] < np.array([[20], [19], [7], [1]]),
    "whole rows": np.array([[True], [False], [True], [False]]).repeat(20, axis=1),
}


@pytest.mark.slow
@each_form
def test_each_form_equals_the_reference_under_a_mask(op, form):
    arguments = op.arguments(20)
    for name, mask in MASKS.items():
        actual = results(op, form, arguments, mask)
        assert_close(actual, expected(op, arguments, mask), TOLERANCE[jnp.float32])
        assert not np.any(np.asarray(actual["gradients"]["inputs"])[~mask]), name


def test_a_sequence_may_be_split(op):
    def in_parts(arguments):
        inputs, outputs = arguments["inputs"], []
        for part in jnp.split(inputs, [1, 5], axis=1):
            y, state = op.run(arguments | {"inputs": part})
            arguments = arguments | {"state": state}
            outputs.append(y)
        return jnp.concatenate(outputs, axis=1), state

    @partial(jax.jit, compiler_options=QUICKLY)
    def both(arguments):
        return in_parts(arguments), op.run(arguments)

    assert_close(*both(op.arguments(9)), 1e-6)


def test_is_the_same_with_its_batch_on_several_devices(op):
    arguments, mask = op.arguments(20), np.random.default_rng(9).random((BATCH, 20)) < 0.6
    mesh = jax.make_mesh((2,), ("data",), (AxisType.Auto,), devices=jax.devices()[:2])
    of_the_batch = {"inputs": True, "weights": False, "bias": False, "state": True}
    shardings = {
        name: NamedSharding(mesh, PartitionSpec("data") if split else PartitionSpec())
        for name, split in of_the_batch.items()
    }
    spread = {
        name: None if value is None else jax.device_put(value, shardings[name])
        for name, value in arguments.items()
    }
    actual, whole = (results(op, None, a, mask) for a in (spread, arguments))
    assert_close(actual, whole, 2e-6)
    assert actual["gradients"]["inputs"].sharding.spec == PartitionSpec("data")


@pytest.mark.parametrize(("name", "arrays"), [("tanh", 5), ("lstm", 9), ("gru", 9)])
def test_works_in_place(name, arrays):
    """Memory of the gradient in arrays [B, L, D]: a copy of the loop's buffers would be G / D more.

    One made at every step would also make a step take 50 times as long.
    """
    op, length = OPS[name], 1000
    compiled = results.lower(op, None, op.arguments(length), None).compile()
    memory = compiled.memory_analysis()
    used = memory.temp_size_in_bytes + memory.output_size_in_bytes
    assert used / (BATCH * length * WIDTH * 4) < arrays + 1
