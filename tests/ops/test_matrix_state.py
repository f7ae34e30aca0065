"""Every form of the recurrences with a matrix as their state against a float64 reference."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.errors import ParameterError
from seqmodels.ops import chunks
from seqmodels.ops.delta_rule import DELTA_RULE, delta_rule
from seqmodels.ops.matrix_state import MATRIX_STATE, decay_of_part, matrix_state
from tests.ops import plain_matrix_state

B, L, H, K, U = 2, 130, 2, 4, 3
CHUNK = 16

# Of each case: the operation, and how strong its decays are, how many axes they have, the axes of
# what is erased, and the steps of a token.
CASES = {
    "no decay": ("matrix state", None, 0, 0, 1),
    "decay a head": ("matrix state", 0.2, 3, 0, 1),
    "decay a key": ("matrix state", 0.2, 4, 0, 1),
    "decay a head, shared keys": ("matrix state", 0.2, 3, 0, 1),
    "no decay, shared keys": ("matrix state", None, 0, 0, 1),
    "strong decay a key": ("matrix state", 20.0, 4, 0, 1),
    "delta": ("delta rule", None, 0, 3, 1),
    "delta, decay a head": ("delta rule", 0.2, 3, 3, 1),
    "delta, strong decay a key": ("delta rule", 20.0, 4, 3, 1),
    "delta, of its own a": ("delta rule", 0.2, 4, 4, 1),
    "delta, three steps": ("delta rule", 0.2, 3, 3, 3),
}
FORMS = {"matrix state": MATRIX_STATE.forms, "delta rule": DELTA_RULE.forms}


def arguments(case: str, length: int = L, seed: int = 0) -> dict[str, Any]:
    """A case's, drawn; keys have length 1, so that delta rules neither grow nor shrink much."""
    _, strength, axes, erasing, steps = CASES[case]
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    def unit(*shape: int) -> np.ndarray:
        x = normal(*shape)
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    heads = 2 * H if "shared" in case else H  # of values
    made: dict[str, Any] = {
        "query": normal(B, length, H, K),
        "key": unit(B, length * steps, H, K),
        "value": normal(B, length * steps, heads, U),
        "state": normal(B, heads, K, U),
        "log_decay": None,
        "valid": random.random((B, length)) < 0.8,
    }
    if strength is not None:
        made["log_decay"] = -strength * random.random((B, length, heads, K)[:axes], np.float32)
    if erasing:
        made["reads"] = made["key"] if erasing == 3 else unit(B, length, H, K)
        strengths = 2 * random.random((B, length * steps, H), np.float32)
        made["erase"] = -strengths if erasing == 3 else -strengths[..., None] * made["reads"]
    return made


def run(case: str, form: str | None, given: dict[str, Any], chunk: int = CHUNK) -> Any:
    """The outputs and the last state."""
    given = jax.tree.map(jnp.asarray, given)
    first = [given.pop(name) for name in ("query", "key", "value")]
    if CASES[case][0] == "delta rule":
        first += [given.pop(name) for name in ("erase", "reads")]
        return delta_rule(*first, **given, chunk=chunk, form=form)
    return matrix_state(*first, **given, chunk=chunk, form=form)


def with_gradients(function: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Outputs and state, and the gradients of all arguments through both at once."""
    fixed = {"valid": given["valid"]}
    moving = {name: x for name, x in given.items() if name != "valid" and x is not None}
    left_out = dict.fromkeys(given.keys() - moving.keys() - fixed.keys())
    made, pull = jax.vjp(lambda moving: function(moving | fixed | left_out), moving)
    (found,) = pull(jax.tree.map(lambda x: jnp.cos(jnp.arange(x.size)).reshape(x.shape), made))
    return {"outputs": made[0], "state": made[1], "gradients": found}


@partial(jax.jit, static_argnums=(0, 1))
def results(case: str, form: str | None, given: dict[str, Any]) -> Any:
    """What a form makes of a case."""
    return with_gradients(lambda a: run(case, form, a), given)


_plain = jax.jit(partial(with_gradients, plain_matrix_state.scan))


def expected(given: dict[str, Any]) -> Any:
    """The same of the reference."""
    outputs, state = plain_matrix_state.loop(given)
    with jax.enable_x64(True):
        wide = {n: x if n == "valid" or x is None else x.astype(float) for n, x in given.items()}
        found = jax.tree.map(np.asarray, _plain(wide))
    np.testing.assert_allclose(found["outputs"], outputs, rtol=1e-9, atol=1e-9)
    return {"outputs": outputs, "state": state, "gradients": found["gradients"]}


def error(actual: Any, wanted: Any) -> float:
    """The norm of the difference, over the norm of what is wanted, where that is not 0."""
    actual, wanted = np.asarray(actual, np.float64), np.asarray(wanted)
    return float(np.linalg.norm(actual - wanted) / (np.linalg.norm(wanted) or 1))


def check(case: str, form: str, length: int, limits: tuple[float, float]) -> None:
    """Outputs and state within the first limit, gradients within the second."""
    given = arguments(case, length)
    found, wanted = results(case, form, given), expected(given)
    valid = given["valid"]
    assert error(found["outputs"][valid], wanted["outputs"][valid]) < limits[0]
    assert error(found["state"], wanted["state"]) < limits[0]
    for name, gradient in wanted["gradients"].items():
        assert error(found["gradients"][name], gradient) < limits[1], name


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    """So that there are several, and the last isn't full."""
    monkeypatch.setattr(chunks, "POSITIONS", 3 * CHUNK)


def forms_of(cases: Any) -> list[tuple[str, str]]:
    """Each case with each form that serves it."""
    return [(case, form) for case in cases for form in FORMS[CASES[case][0]]]


OTHERS = ("no decay", "no decay, shared keys", "decay a key", "delta", "delta, decay a head")
"""What contract and equations of mixers have too; here tests/soak/soak_matrix_state.py has them."""
STEPPED = ("strong decay a key", "delta, of its own a", "delta, three steps")
"""Whose single steps are held here; they have no part that another's lack."""
HELD = [
    (case, form)
    for case, form in forms_of(case for case in CASES if case not in OTHERS)
    if form != "recurrent" or case in STEPPED
]


@pytest.mark.slow
@pytest.mark.parametrize(("case", "form"), HELD)
def test_each_form_equals_the_reference(case, form):
    check(case, form, L, (1e-5, 1e-4))


def test_what_parts_multiply_the_state_by_takes_them_together():
    """The state after a part is that product times the one before it, and what the part writes."""
    given = jax.tree.map(jnp.asarray, arguments("decay a key", length=20))
    zero = given | {"state": jnp.zeros_like(given["state"])}
    ((_, whole), (_, written)) = (run("decay a key", "recurrent", a) for a in (given, zero))
    product = decay_of_part(given["log_decay"], given["valid"])
    carried = product[..., None] * given["state"]
    np.testing.assert_allclose(whole, carried + written, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("case", "form"), [("decay a key", "recurrent"), ("delta, decay a head", "chunked")]
)
def test_in_bfloat16_the_state_and_its_sums_stay_float32(case, form):
    """The same inputs, exact in bfloat16, make the same state; only outputs are rounded."""
    rounded = {
        name: np.asarray(x, jnp.bfloat16) if name in ("query", "key", "value") else x
        for name, x in arguments(case, length=20).items()
    }
    full = {
        name: x.astype(np.float32) if name in ("query", "key", "value") else x
        for name, x in rounded.items()
    }
    outputs, state = jax.jit(partial(run, case, form))(rounded)
    wanted_outputs, wanted_state = plain_matrix_state.loop(full)
    assert (outputs.dtype, state.dtype) == (jnp.bfloat16, jnp.float32)
    assert error(state, wanted_state) < 1e-5
    assert error(outputs, wanted_outputs) < 0.005


def test_the_form_goes_by_platform_length_and_keys(monkeypatch):
    def chosen(length: int, axes: int | None = None, K: int = 32) -> str:
        query = jnp.zeros((1, length, 1, K))
        decay = None if axes is None else query[..., 0] if axes == 3 else query
        return MATRIX_STATE.choose(query, query, query, decay, None, 64)

    def traced_for(platform: str) -> None:
        for module in ("matrix_state", "forms"):
            monkeypatch.setattr(f"seqmodels.ops.{module}.platform", lambda: platform)

    traced_for("cpu")
    assert [chosen(256, axes) for axes in (None, 3, 4)] == ["blocks"] * 3
    assert [chosen(length) for length in (16, 17)] == ["recurrent", "blocks"]
    query, value = jnp.zeros((1, 17, 1, 32)), jnp.zeros((1, 17, 2, 32))
    assert MATRIX_STATE.choose(query, query, value, None, None, 64) == "chunked"
    assert [chosen(length, K=128) for length in (16, 17)] == ["recurrent", "chunked"]
    assert [chosen(64, axes, K=40) for axes in (None, 3, 4)] == ["chunked", "chunked", "blocks"]
    traced_for("cuda")
    assert [chosen(length, 4) for length in (1, 16, 17)] == ["recurrent", "recurrent", "chunked"]
    query = jnp.zeros((1, 17, 1, 1))
    assert DELTA_RULE.choose(query, *[query] * 4, None, None, 64) == "chunked"


@pytest.mark.parametrize("platform", ["cpu", "cuda"])
@pytest.mark.parametrize("case", ["decay a head", "delta"])
def test_a_chunk_that_is_no_power_of_2_is_left_to_the_steps(case, platform, monkeypatch):
    for module in ("matrix_state", "forms"):
        monkeypatch.setattr(f"seqmodels.ops.{module}.platform", lambda: platform)
    given = arguments(case, length=20)
    with pytest.raises(
        ParameterError, match=r"chunk=12 is no power of 2; take 'recurrent' or 'blocks'"
    ):
        run(case, "chunked", given, chunk=12)
    outputs, _ = run(case, None, given, chunk=12)
    wanted, _ = plain_matrix_state.loop(given)
    np.testing.assert_allclose(outputs, wanted, rtol=1e-4, atol=1e-5)
