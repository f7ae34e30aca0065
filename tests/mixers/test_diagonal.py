"""How mixers on a diagonal recurrence begin, what their settings mean, and what they refuse."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.config import construct_kind
from seqmodels.errors import ConfigError
from seqmodels.mixers import MIXERS, Short
from seqmodels.mixers.state_space import normal_hippo, sample
from tests.mixers.variants import WIDTH, normal

MANY = 256  # features of a mixer whose initial values are looked at


def begun(kind: str, **settings) -> dict:
    """The initial parameters of a wide mixer."""
    made = jax.jit(
        lambda: nnx.to_pure_dict(nnx.state(MIXERS[kind](MANY, **settings, rngs=nnx.Rngs(0))))
    )()
    return jax.tree.map(np.asarray, made)


def assert_even(values: np.ndarray, low: float, high: float) -> None:
    """They are spread evenly between two numbers, as far as so many can tell."""
    assert low <= values.min() < low + 0.05 * (high - low)
    assert high - 0.05 * (high - low) < values.max() <= high
    places = (np.sort(values.ravel()) - low) / (high - low)
    expected = (np.arange(values.size) + 0.5) / values.size
    assert np.abs(places - expected).max() < 1.7 / math.sqrt(values.size)  # Kolmogorov, 0.6%


def assert_moments(values: np.ndarray, deviation: float) -> None:
    """Normal about 0."""
    assert abs(values.mean()) < 4 * deviation / math.sqrt(values.size)
    assert abs(values.std() / deviation - 1) < 4 / math.sqrt(2 * values.size)


def test_the_lru_begins_on_a_ring():
    params = begun("lru", r_min=0.4, r_max=0.9, max_phase=1.0)
    square = np.exp(-2 * np.exp(params["nu_log"].astype(np.float64)))
    assert_even(square, 0.16, 0.81)
    assert_even(np.exp(params["theta_log"]), 0, 1)
    np.testing.assert_allclose(np.exp(2 * params["gamma_log"]), 1 - square, rtol=1e-4)
    assert_moments(params["B"], (2 * MANY) ** -0.5)
    assert_moments(params["C"], MANY**-0.5)
    assert_moments(params["skip"], 1)
    whole = np.exp(-2 * np.exp(begun("lru")["nu_log"].astype(np.float64)))
    assert_even(whole, 0, 1)


def test_the_rglru_begins_between_its_bounds():
    params = begun("rglru", expansion=1.0, heads=4)
    assert_even(np.exp(-8 * np.log1p(np.exp(params["decay"].astype(np.float64)))), 0.9, 0.999)
    assert params["weights"].shape == (4, 64, 2, 64)
    assert_moments(params["weights"], 64**-0.5)
    assert not params["bias"].any()


def test_s4d_begins_with_its_poles():
    params = begun("s4d")
    assert_even(params["log_step"], math.log(1e-3), math.log(0.1))
    np.testing.assert_allclose(np.exp(params["A_log"]), 0.5, rtol=1e-6)
    turns = params["A_imaginary"][[0, -1]]
    np.testing.assert_allclose(turns, np.tile(np.pi * np.arange(32), (2, 1)), rtol=1e-6)
    turns = begun("s4d", poles="inverse", states=4)["A_imaginary"][0]
    np.testing.assert_allclose(turns, [4 / np.pi * 3, 4 / np.pi / 3], rtol=1e-6)
    assert_moments(params["C"], 0.5**0.5)
    assert_moments(params["skip"], 1)


def test_s5_begins_with_the_eigenvalues_of_hippo():
    """Of LegS, -sqrt(2i + 1) sqrt(2j + 1) below a diagonal of -(i + 1), plus the rank it lacks."""
    params = begun("s5", blocks=4)
    i, j = np.indices((64, 64))
    legs = -np.sqrt((2 * i + 1) * (2 * j + 1)) * (i > j) - (i + 1) * (i == j)
    values = np.linalg.eigvals(legs + np.sqrt((i + 0.5) * (j + 0.5)))
    np.testing.assert_allclose(values.real, -0.5, atol=1e-9)
    kept = np.sort(values.imag)[:32]
    np.testing.assert_allclose(params["poles"][..., 0], -0.5, rtol=1e-6)
    np.testing.assert_allclose(params["poles"][..., 1], np.tile(kept, 4), rtol=1e-5)
    assert_even(params["log_step"], math.log(1e-3), math.log(0.1))
    # Turned by half of a unitary matrix, which keeps the variance.
    assert_moments(params["B"], (2 * MANY) ** -0.5)
    assert_moments(params["C"], MANY**-0.5)
    poles, vectors = normal_hippo(8)
    np.testing.assert_allclose(np.conj(vectors).T @ vectors, np.eye(4), atol=1e-12)
    i, j = np.indices((8, 8))
    legs = -np.sqrt((2 * i + 1) * (2 * j + 1)) * (i > j) - (i + 1) * (i == j)
    normal_part = legs + np.sqrt((i + 0.5) * (j + 0.5))
    np.testing.assert_allclose(normal_part @ vectors, vectors * poles[None], atol=1e-12)


def test_mamba_begins_with_steps_spread_in_logarithms():
    params = begun("mamba")
    steps = np.log1p(np.exp(params["step_bias"].astype(np.float64)))
    assert_even(np.log(steps), math.log(1e-3), math.log(0.1))
    np.testing.assert_allclose(np.exp(params["A_log"][7]), np.arange(1, 17), rtol=1e-6)
    assert_even(params["step_weights"], -(16**-0.5), 16**-0.5)  # of rank 256 / 16
    assert (params["skip"] == 1).all()
    assert params["A_log"].shape == (2 * MANY, 16)


def applied(kind: str, x: np.ndarray, **settings) -> tuple[np.ndarray, dict]:
    """A new mixer's outputs and its parameters, in float64, by one program."""

    @jax.jit
    def run(x):
        mixer = MIXERS[kind](WIDTH, **settings, rngs=nnx.Rngs(0))
        return mixer(x), nnx.to_pure_dict(nnx.state(mixer))

    return jax.tree.map(lambda a: np.asarray(a, np.float64), run(x))


def by_convolution(kind: str, kernel, settings: dict) -> None:
    """A mixer without a gate is a convolution with a kernel, and its skip."""
    x = normal((2, 40, WIDTH))
    found, params = applied(kind, x, gate="none", **settings)
    responses = kernel(params, np.arange(40))  # [L, D, D]: of an output to an input
    expected = x * params["skip"]
    for lag, response in enumerate(responses):
        expected[:, lag:] += x[:, : 40 - lag] @ response
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


def numbers(parts: np.ndarray) -> np.ndarray:
    return parts[..., 0] + 1j * parts[..., 1]


def discrete(poles, steps, sampling):
    z = poles * steps
    if sampling == "zoh":
        return np.exp(z), (np.exp(z) - 1) / poles
    return (1 + z / 2) / (1 - z / 2), steps / (1 - z / 2)


@pytest.mark.parametrize("sampling", ["zoh", "bilinear"])
def test_s4d_is_its_convolution(sampling):
    """``K_l = 2 Re sum_n C_n b_n a_n^l`` in each channel."""

    def kernel(params, lags):
        poles = -np.exp(params["A_log"]) + 1j * params["A_imaginary"]
        decay, gain = discrete(poles, np.exp(params["log_step"])[:, None], sampling)
        powers = decay[None] ** lags[:, None, None]
        taps = 2 * (numbers(params["C"]) * gain * powers).real.sum(-1)
        return taps[:, :, None] * np.eye(WIDTH)

    by_convolution("s4d", kernel, {"states": 6, "sampling": sampling})


@pytest.mark.parametrize("sampling", ["zoh", "bilinear"])
def test_s5_is_its_convolution(sampling):
    """``K_l = 2 Re C diag(a^l b) B``."""

    def kernel(params, lags):
        decay, gain = discrete(numbers(params["poles"]), np.exp(params["log_step"]), sampling)
        powers = gain * decay ** lags[:, None]
        return (
            2 * np.einsum("dn,ln,ne->lde", numbers(params["B"]), powers, numbers(params["C"])).real
        )

    by_convolution("s5", kernel, {"states": 6, "sampling": sampling})


def test_the_lru_is_its_convolution():
    """``K_l = Re C diag(l^l exp(gamma)) B``."""

    def kernel(params, lags):
        decay = np.exp(-np.exp(params["nu_log"]) + 1j * np.exp(params["theta_log"]))
        powers = np.exp(params["gamma_log"]) * decay ** lags[:, None]
        return np.einsum("dn,ln,ne->lde", numbers(params["B"]), powers, numbers(params["C"])).real

    by_convolution("lru", kernel, {"states": 5})


def test_a_step_of_next_to_no_length_keeps_its_digits():
    """exp(z) - 1 for z of 0.0005 would be off by a ten-thousandth in float32."""
    poles, step = jnp.asarray([-0.5 + 0j]), jnp.asarray([1e-3])
    _, gain = sample(poles, step, "zoh")
    np.testing.assert_allclose(gain.real, -np.expm1(-0.5e-3) / 0.5, rtol=1e-6)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("kind", ["mingru", "minlstm"])
def test_in_log_space_values_and_states_are_positive(kind):
    """The paper's recurrence of logarithms, ``log h = a + logcumsumexp(log b - a)``, of its g."""
    mixer = MIXERS[kind](WIDTH, log_space=True, rngs=nnx.Rngs(0))
    x = normal((2, 12, WIDTH))
    *gates, value = np.moveaxis(np.asarray(mixer.inputs(jnp.asarray(x)), np.float64), 2, 0)
    if kind == "mingru":
        decay, written = sigmoid(-gates[0]), sigmoid(gates[0])
    else:
        forget, entry = map(sigmoid, gates)
        decay, written = forget / (forget + entry), entry / (forget + entry)
    positive = np.where(value >= 0, value + 0.5, sigmoid(value))
    product = np.cumsum(np.log(decay), axis=1)
    summed = np.logaddexp.accumulate(np.log(written * positive) - product, axis=1)
    np.testing.assert_allclose(mixer(jnp.asarray(x)), np.exp(product + summed), rtol=1e-4)


@pytest.mark.slow
def test_mambas_convolution_ends_in_one_silu():
    """Its own, or that of the block's short convolution."""
    x = normal((1, 5, WIDTH))
    own, the_blocks = (
        applied("mamba", x, states=2, short=Short(3, activation))[0]
        for activation in ("none", "silu")
    )
    np.testing.assert_allclose(own, the_blocks, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("mingru", {"expansion": 0.01}, "expansion=0.01 leaves the mixer no width; raise it"),
        ("mingru", {"form": "sequentail"}, "form='sequentail': MinGRU wants"),
        ("lru", {"states": 0}, "states=0 is below 1"),
        ("lru", {"r_min": 0.9, "r_max": 0.5}, "r_min=0.9 and r_max=0.5 are no ring within"),
        ("lru", {"max_phase": 7.0}, "max_phase=7.0 is not above 0 and at most 2 pi"),
        ("rglru", {"expansion": 2.0, "heads": 3}, "heads=3 does not divide the 16 features"),
        ("s4d", {"states": 7}, "states=7 is odd; poles come in conjugate pairs"),
        ("s4d", {"states": 2**30}, "states=1073741824 makes 8,589,934,592 of all channels"),
        ("s5", {"blocks": 3}, "blocks=3 does not divide states=8; it cuts them into equal parts"),
        ("s5", {"states": 6, "blocks": 2}, "states=3 in each of blocks=2 is odd; poles come"),
        ("mamba", {"step_rank": 0}, "step_rank=0 is not at least 1 and at most 16"),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(kind, settings, message):
    with pytest.raises(ConfigError) as caught:
        construct_kind(MIXERS, {"kind": kind} | settings, "mixer", width=WIDTH, rngs=nnx.Rngs(0))
    assert message in str(caught.value)
    assert str(caught.value).startswith("mixer.")
