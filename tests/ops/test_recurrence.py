"""The recurrences with a backward pass written by hand, against ``lax.scan`` and autodiff."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from seqmodels.ops import recurrence, recurrence_reference

BATCH, WIDTH = 4, 8


class Op(NamedTuple):
    """An op and its reference under one signature."""

    fast: Callable[..., Any]
    reference: Callable[..., Any]
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

    def run(self, function: Callable[..., Any], arguments: dict[str, Any], mask: Any = None) -> Any:
        """The outputs and the last state."""
        bias = (arguments["bias"],) if self.bias else ()
        return function(arguments["inputs"], arguments["weights"], *bias, arguments["state"], mask)


OPS = {
    "tanh": Op(recurrence.simple_rnn, recurrence_reference.simple_rnn, gates=1),
    "relu": Op(
        partial(recurrence.simple_rnn, activation="relu"),
        partial(recurrence_reference.simple_rnn, activation="relu"),
        gates=1,
    ),
    "lstm": Op(recurrence.lstm, recurrence_reference.lstm, gates=4, states=2),
    "gru": Op(recurrence.gru, recurrence_reference.gru, gates=3, bias=True),
}


@pytest.fixture(params=OPS)
def op(request) -> Op:
    return OPS[request.param]


# Compilation is nearly all of the time here, and LLVM's optimisations are half of it.
QUICKLY = {"xla_backend_optimization_level": 0}


@partial(jax.jit, static_argnums=(0, 1), compiler_options=QUICKLY)
def results(op: Op, function: Callable[..., Any], arguments: dict[str, Any], mask: Any) -> Any:
    """Outputs and last state, and the gradients of all arguments through both at once."""
    (outputs, state), backward = jax.vjp(lambda a: op.run(function, a, mask), arguments)

    def cotangent(a):  # of no particular direction, and the same for every function
        return jnp.cos(jnp.arange(a.size, dtype=jnp.float32)).reshape(a.shape).astype(a.dtype)

    (gradients,) = backward(jax.tree.map(cotangent, (outputs, state)))
    return {"outputs": outputs, "state": state, "gradients": gradients}


def assert_close(actual: Any, expected: Any, tolerance: float) -> None:
    """Every leaf has its type, and is within the tolerance of its largest value or of 1."""
    expected, structure = jax.tree.flatten_with_path(expected)
    for (path, wanted), got in zip(expected, structure.flatten_up_to(actual), strict=True):
        assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
        got, wanted = (np.asarray(a, np.float64) for a in (got, wanted))
        error = np.abs(got - wanted).max() / max(1, np.abs(wanted).max())
        assert error <= tolerance, f"{jax.tree_util.keystr(path)} is off by {error:.1e}"


# In float32 the two sum in another order. In bfloat16 what is kept for the backward pass is
# rounded to 2^-9 of its value, at every step.
TOLERANCE = {jnp.float32: 2e-6, jnp.bfloat16: 0.02}


def check_equal(op: Op, length: int, dtype: Any) -> None:
    arguments = op.arguments(length, dtype)
    actual, expected = (results(op, f, arguments, None) for f in (op.fast, op.reference))
    assert_close(actual, expected, TOLERANCE[dtype])


@pytest.mark.parametrize(
    ("length", "dtype"),
    [
        (63, jnp.float32),
        pytest.param(130, jnp.bfloat16, marks=pytest.mark.slow),
    ],
)
def test_equals_the_reference(op, length, dtype):
    """At some lengths; soak/soak_recurrence.py has more, each in both types."""
    check_equal(op, length, dtype)


MASKS = {
    "random": np.random.default_rng(9).random((BATCH, 20)) < 0.6,
    "left": np.arange(20)[None] >= np.array([[0], [1], [7], [19]]),
    "right": np.arange(20)[None] < np.array([[20], [19], [7], [1]]),
    "whole rows": np.array([[True], [False], [True], [False]]).repeat(20, axis=1),
}


def test_equals_the_reference_under_a_mask(op):
    arguments = op.arguments(20)
    for name, mask in MASKS.items():
        actual, expected = (results(op, f, arguments, mask) for f in (op.fast, op.reference))
        assert_close(actual, expected, 2e-6)
        assert not np.any(np.asarray(actual["gradients"]["inputs"])[~mask]), name


def test_a_sequence_may_be_split(op):
    def in_parts(arguments):
        inputs, outputs = arguments["inputs"], []
        for part in jnp.split(inputs, [1, 5], axis=1):
            y, state = op.run(op.fast, arguments | {"inputs": part})
            arguments = arguments | {"state": state}
            outputs.append(y)
        return jnp.concatenate(outputs, axis=1), state

    @partial(jax.jit, compiler_options=QUICKLY)
    def both(arguments):
        return in_parts(arguments), op.run(op.fast, arguments)

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
    actual, expected = (results(op, op.fast, a, mask) for a in (spread, arguments))
    assert_close(actual, expected, 2e-6)
    assert actual["gradients"]["inputs"].sharding.spec == PartitionSpec("data")


@pytest.mark.parametrize(("name", "arrays"), [("tanh", 5), ("lstm", 9), ("gru", 9)])
def test_works_in_place(name, arrays):
    """Memory of the gradient in arrays [B, L, D]: a copy of the loop's buffers would be G / D more.

    One made at every step would also make a step take 50 times as long.
    """
    op, length = OPS[name], 1000
    compiled = results.lower(op, op.fast, op.arguments(length), None).compile()
    memory = compiled.memory_analysis()
    used = memory.temp_size_in_bytes + memory.output_size_in_bytes
    assert used / (BATCH * length * WIDTH * 4) < arrays + 1
