"""Every form of the diagonal recurrences against NumPy loops, and autodiff, in float64."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.errors import ParameterError
from seqmodels.ops import numbers
from seqmodels.ops.diagonal_forms import DIAGONAL
from seqmodels.ops.diagonal_recurrence import diagonal_recurrence, sequential_depth
from seqmodels.ops.state_spaces import (
    constant_depth,
    diagonal_state_space,
    selective_product,
    selective_state_space,
    state_space_depth,
)
from tests.ops import plain_diagonal

ROWS, WIDTH, STATES, LENGTH = 3, 5, 4, 130
Arguments = dict[str, np.ndarray]


class Op(NamedTuple):
    """An operation, its references, and what it takes."""

    fast: Callable[..., Any]
    plain: Callable[..., Any]
    differentiable: Callable[..., Any]
    arguments: Callable[[int], Arguments]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def turning(*shape: int, seed: int = 0) -> np.ndarray:
    """Complex decays within the unit circle, some of them near to it."""
    random = np.random.default_rng(seed)
    return random.uniform(0.3, 0.999, shape) * np.exp(1j * random.uniform(-3, 3, shape))


def complex_normal(*shape: int, seed: int = 0) -> np.ndarray:
    return normal(*shape, seed=seed) + 1j * normal(*shape, seed=seed + 9)


def real(length: int) -> Arguments:
    return {
        "decay": np.abs(turning(ROWS, length, WIDTH)),
        "inputs": normal(ROWS, length, WIDTH, seed=1),
        "state": normal(ROWS, WIDTH, seed=2),
    }


def turned(length: int) -> Arguments:
    """One complex decay for all positions."""
    return {
        "decay": turning(1, 1, WIDTH),
        "inputs": complex_normal(ROWS, length, WIDTH, seed=1),
        "state": complex_normal(ROWS, WIDTH, seed=2),
    }


def turned_each(length: int) -> Arguments:
    """A complex decay for each position, and real inputs."""
    return {
        "decay": turning(ROWS, length, WIDTH),
        "inputs": normal(ROWS, length, WIDTH, seed=1),
        "state": complex_normal(ROWS, WIDTH, seed=2),
    }


def selective(length: int) -> Arguments:
    """Steps up to 20, of which the decays are as good as 0."""
    return {
        "delta": np.exp(normal(ROWS, length, WIDTH) * 1.5 - 1),
        "A": -np.exp(normal(WIDTH, STATES, seed=1)),
        "B": normal(ROWS, length, STATES, seed=2),
        "C": normal(ROWS, length, STATES, seed=3),
        "x": normal(ROWS, length, WIDTH, seed=4),
        "state": normal(ROWS, STATES, WIDTH, seed=5),
    }


def constant(length: int) -> Arguments:
    return {
        "decay": turning(STATES, WIDTH),
        "C": complex_normal(STATES, WIDTH, seed=1),
        "x": normal(ROWS, length, WIDTH, seed=2),
        "state": complex_normal(ROWS, STATES, WIDTH, seed=3),
    }


recurrence = partial(
    Op, diagonal_recurrence, plain_diagonal.recurrence, plain_diagonal.jax_recurrence
)
OPS = {
    "real": recurrence(real),
    "complex": recurrence(turned),
    "complex at each": recurrence(turned_each),
    "selective": Op(
        selective_state_space, plain_diagonal.selective, plain_diagonal.jax_selective, selective
    ),
    "constant": Op(
        diagonal_state_space, plain_diagonal.constant, plain_diagonal.jax_constant, constant
    ),
}
# soak/soak_diagonal.py has all.
CHECKED = [
    *[("real", form) for form in DIAGONAL.forms],
    ("complex", "sequential"),
    ("complex", "chunked"),
    ("complex at each", "sequential"),
    ("selective", "sequential"),
    ("selective", "associative"),
    ("constant", "sequential"),
    ("constant", "products"),
]


def mask(length: int) -> np.ndarray:
    """A row without padding, one with some everywhere, and one that is nothing else."""
    some = np.random.default_rng(0).random(length) < 0.7
    return np.stack([some | True, some, some & False])


def split(array: np.ndarray) -> Any:
    """A complex array as its parts, in float32."""
    if not np.iscomplexobj(array):
        return array.astype(np.float32)
    return array.real.astype(np.float32), array.imag.astype(np.float32)


def joined(numbers: Any) -> np.ndarray:
    """The way back."""
    if not isinstance(numbers, tuple):
        array = np.asarray(numbers)
        return array if np.iscomplexobj(array) else array.astype(np.float64)
    return np.asarray(numbers[0], np.float64) + 1j * np.asarray(numbers[1], np.float64)


def weighed(outputs: Any, last: Any) -> Any:
    """A sum that weighs all parts of all outputs differently."""
    parts = [
        part
        for leaf in jax.tree.leaves((outputs, last))
        for part in ([leaf.real, leaf.imag] if jnp.iscomplexobj(leaf) else [leaf])
    ]
    return sum(
        jnp.sum(jnp.cos(jnp.arange(part.size) + seed).reshape(part.shape) * part)
        for seed, part in enumerate(parts)
    )


@partial(jax.jit, static_argnums=(0, 1))
def results(name: str, form: str, arguments: Arguments, valid: Any) -> Any:
    """Outputs, last state, and the gradients of a weighed sum of them by every argument."""

    def loss(arguments):
        outputs, last = OPS[name].fast(**arguments, valid=valid, form=form)
        return weighed(outputs, last), (outputs, last)

    return jax.grad(loss, has_aux=True)(arguments)


@cache
def expected(name: str, length: int, padded: bool) -> Any:
    """The same of the references."""
    op, valid = OPS[name], mask(length) | (not padded)
    arguments = {key: joined(split(array)) for key, array in op.arguments(length).items()}

    @jax.jit
    def by_arguments(arguments):
        return jax.grad(lambda a: weighed(*op.differentiable(**a, valid=valid)))(arguments)

    with jax.enable_x64(True):
        gradients = jax.tree.map(np.conj, by_arguments(arguments))  # JAX's are conjugate
        gradients = jax.tree.map(np.asarray, gradients)
    return gradients, op.plain(**arguments, valid=valid)


def error(actual: Any, wanted: np.ndarray) -> float:
    """The norm of the difference over the norm of what is wanted."""
    found = joined(actual)
    assert found.shape == wanted.shape
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def check(name: str, form: str, length: int, by_outputs: float = 1e-5) -> None:
    arguments = {key: split(array) for key, array in OPS[name].arguments(length).items()}
    padded = form != "products"  # which refuses padding
    gradients, (outputs, last) = results(name, form, arguments, mask(length) if padded else None)
    wanted_gradients, (wanted, wanted_last) = expected(name, length, padded)
    assert error(outputs, wanted) <= by_outputs
    assert error(last, wanted_last) <= by_outputs
    for key, gradient in gradients.items():
        assert error(gradient, wanted_gradients[key]) <= 1e-4, key


@pytest.mark.slow
@pytest.mark.parametrize(("name", "form"), CHECKED)
def test_each_form_equals_the_reference(name, form):
    check(name, form, LENGTH)


@pytest.mark.slow
def test_a_sequence_begun_from_zeros_lacks_its_decays_times_the_state():
    """What parts of a sequence that are computed at once need of each other."""
    valid = jnp.asarray(mask(20))
    for name in ("real", "complex", "complex at each"):
        given = {key: split(array) for key, array in OPS[name].arguments(20).items()}
        given = jax.tree.map(jnp.asarray, given)
        decay = given["decay"] if isinstance(given["decay"], tuple) else (given["decay"],)
        decay = tuple(jnp.broadcast_to(part, (ROWS, 20, WIDTH)) for part in decay)
        whole = numbers.product(decay, valid)
        product = sum(f * part for f, part in zip((1, 1j), whole, strict=False))
        zeros = jax.tree.map(jnp.zeros_like, given["state"])
        last, from_zeros = (
            joined(diagonal_recurrence(given["decay"], given["inputs"], state, valid)[1])
            for state in (given["state"], zeros)
        )
        np.testing.assert_allclose(
            product * joined(given["state"]) + from_zeros, last, rtol=1e-4, atol=1e-5
        )
    given = {key: jnp.asarray(split(array)) for key, array in selective(20).items()}
    product = selective_product(given["delta"], given["A"], valid)
    last, from_zeros = (
        selective_state_space(**given | {"state": state}, valid=valid)[1]
        for state in (given["state"], jnp.zeros_like(given["state"]))
    )
    np.testing.assert_allclose(product * given["state"] + from_zeros, last, rtol=1e-4, atol=1e-5)


def test_decays_from_minus_1():
    """Padding leaves the state as it is."""
    given = selective(20)
    fast = selective_state_space(
        **{key: jnp.asarray(split(array)) for key, array in given.items()},
        valid=jnp.asarray(mask(20)),
        negative=True,
    )
    for found, expected in zip(
        fast, plain_diagonal.selective(**given, valid=mask(20), negative=True), strict=True
    ):
        assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


def test_works_in_place():
    """A gradient's memory in arrays [B, L, D]: decays' and inputs', and the outputs that it keeps.

    A copy made at every step would also make a step take many times as long.
    """
    given = {"decay": (4, 1000, 8), "inputs": (4, 1000, 8), "state": (4, 8)}
    shapes = {key: jax.ShapeDtypeStruct(shape, jnp.float32) for key, shape in given.items()}
    compiled = results.lower("real", "sequential", shapes, None).compile()
    memory = compiled.memory_analysis()
    used = memory.temp_size_in_bytes + memory.output_size_in_bytes
    assert used / (4 * 1000 * 8 * 4) < 5


@pytest.mark.parametrize("name", ["selective", "constant"])
def test_states_of_all_positions_are_never_there_at_once(name):
    """Temporary memory of the gradient, in arrays [B, L, N, D], where N and D are 64."""
    length = 2048
    wider = {STATES: 64, WIDTH: 64}
    shapes = {
        key: jax.tree.map(
            lambda a: jax.ShapeDtypeStruct([wider.get(n, n) for n in a.shape], jnp.float32),
            split(array),
        )
        for key, array in OPS[name].arguments(length).items()
    }
    compiled = results.lower(name, "sequential", shapes, None).compile()
    whole = ROWS * length * 64 * 64 * 4
    assert compiled.memory_analysis().temp_size_in_bytes < whole / 2


def test_bfloat16_is_that_of_inputs_and_outputs_alone():
    given = {key: split(array) for key, array in real(20).items()}
    given["inputs"] = given["inputs"].astype(jnp.bfloat16)
    for form in DIAGONAL.forms:
        gradients, (outputs, last) = results("real", form, given, None)
        assert outputs.dtype == gradients["inputs"].dtype == jnp.bfloat16
        assert last.dtype == gradients["decay"].dtype == jnp.float32
        exact = given | {"inputs": np.asarray(given["inputs"], np.float64)}
        wanted, wanted_last = plain_diagonal.recurrence(**exact, valid=mask(20) | True)
        assert error(last, wanted_last) < 1e-6
        assert error(outputs, wanted) < 4e-3


def test_the_depth_of_each_form():
    assert [sequential_depth(1000, form) for form in DIAGONAL.forms] == [1000, 64 + 16, 20]
    assert [sequential_depth(length, None) for length in (1, 2, 3, 1000)] == [1, 2, 3, 20]
    assert state_space_depth(300, "sequential") == 300
    assert state_space_depth(300, None) == 3 * 14
    assert [constant_depth(length, None) for length in (1, 64, 128, 6400)] == [1, 3, 4, 16]
    assert constant_depth(300, "sequential") == 300


def test_what_can_not_be_is_refused_in_one_line():
    given = {key: split(array) for key, array in selective(8).items()}
    given = jax.tree.map(jnp.asarray, given)
    with pytest.raises(ParameterError) as caught:
        selective_state_space(**given, chunk=0)
    assert str(caught.value) == (
        "chunk=0 is below 1; give the positions to expand at a time, or None"
    )
    given = {key: split(array) for key, array in constant(8).items()}
    given = jax.tree.map(jnp.asarray, given)
    with pytest.raises(ParameterError, match="padding would decay as well; take 'sequential'"):
        diagonal_state_space(**given, valid=jnp.asarray(mask(8)), form="products")
