"""Filters as long as the sequence: their values, how they are drawn, and where they end."""

import math

import jax
import numpy as np
import pytest
from flax import nnx

from seqmodels.errors import ConfigError, ParameterError
from seqmodels.mixers import Hyena, LongConvolution
from seqmodels.model import build_model
from seqmodels.tasks.base import TaskSpec
from tests.mixers.variants import WIDTH, normal

LABELS = TaskSpec("many-to-many", "tokens", 5, 3, True, "accuracy", True)


def values(part) -> np.ndarray:
    return np.asarray(part[...], np.float64)


def linear(x: np.ndarray, part) -> np.ndarray:
    weights = values(part.weights)
    return np.tensordot(x, weights, 1) + values(part.bias)


def convolved(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    y = np.zeros_like(x)
    for t, i in np.argwhere(np.tri(x.shape[1], dtype=bool)):
        y[:, t] += kernel[i] * x[:, t - i]
    return y


def outputs(mixer, x: np.ndarray) -> np.ndarray:
    graph, params = nnx.split(mixer)
    return np.asarray(jax.jit(lambda params, x: nnx.merge(graph, params)(x))(params, x))


def assert_near(found: np.ndarray, expected: np.ndarray) -> None:
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


def test_hyena_is_the_products_and_filters_that_it_stands_for():
    """Of order 3: two filters of 20 values at most, of which 17 are read."""
    mixer = Hyena(WIDTH, 20, 3, filter_width=6, bands=3, frequency=2.0, rngs=nnx.Rngs(0))
    t = np.arange(17)[:, None] / 19
    angles = 2 * math.pi * np.arange(17)[:, None] / 20 * np.array([1e-4, 1.00005, 2.0])
    h = np.concatenate([t, np.cos(angles), -np.sin(angles)], axis=1)
    for layer in mixer.hidden:
        h = np.sin(values(mixer.frequency) * (h @ values(layer.matrix) + values(layer.bias)))
    rates = np.linspace(math.log(100) / 1.5, math.log(100) / 0.3, 2 * WIDTH).reshape(2, WIDTH)
    filters = np.tensordot(h, values(mixer.last.matrix), 1) * np.exp(-t[:, :, None] * rates)
    x = normal((2, 17, WIDTH)).astype(np.float64)
    first, second, third, y = np.moveaxis(linear(x, mixer.inputs), 2, 0)
    for index, gate in enumerate((third, second)):
        y = gate * y
        y = convolved(y, filters[:, index]) + values(mixer.skip)[index] * y
    expected = linear(y * first, mixer.outputs)
    assert_near(outputs(mixer, x.astype(np.float32)), expected)


@pytest.mark.parametrize(("squash", "smooth", "gated"), [(0.01, None, True), (0.0, 3, False)])
def test_a_learned_filter_is_smoothed_and_squashed(squash, smooth, gated):
    mixer = LongConvolution(WIDTH, 20, squash, smooth, gated=gated, rngs=nnx.Rngs(0))
    h = values(mixer.filter)
    if smooth:
        padded = np.pad(h, ((1, 1), (0, 0)))
        h = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    h = np.sign(h) * np.maximum(abs(h) - squash, 0)
    x = normal((2, 17, WIDTH)).astype(np.float64)
    y = convolved(x, h) + values(mixer.skip) * x
    y = 0.5 * y * (1 + np.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
    expected = linear(y, mixer.outputs)
    if gated:
        expected /= 1 + np.exp(-linear(y, mixer.gate))
    assert_near(outputs(mixer, x.astype(np.float32)), expected)


def test_filters_are_drawn_as_published():
    """Small and decaying, or small alone; an MLP's layers uniformly, its frequencies as set."""
    decaying, flat = (
        values(LongConvolution(64, 512, decay=decay, rngs=nnx.Rngs(0)).filter)
        for decay in (True, False)
    )
    np.testing.assert_allclose(flat.std(), 0.002, rtol=0.02)
    np.testing.assert_allclose(decaying[:16].std(), 0.02, rtol=0.2)
    # The last feature has fallen by exp(-32^(63/64) t / 512), the first by exp(-t / 512).
    np.testing.assert_allclose(decaying[480:, :2].std(), 0.02 / math.e, rtol=0.4)
    assert abs(decaying[256:, -1]).max() < 1e-6
    hyena = Hyena(64, 512, rngs=nnx.Rngs(0))
    assert set(values(hyena.frequency)) == {14.0}
    for layer, inputs in zip([*hyena.hidden, hyena.last], (33, 64, 64, 64), strict=True):
        drawn = values(layer.matrix)
        assert 0.97 / math.sqrt(inputs) < abs(drawn).max() <= 1 / math.sqrt(inputs)
        np.testing.assert_allclose(drawn.var(), 1 / (3 * inputs), rtol=0.1)
    assert 0.8 < values(hyena.skip).std() < 1.2


@pytest.mark.parametrize("kind", ["long_convolution", "hyena"])
def test_a_filter_ends(kind):
    section = {"width": 8, "depth": 1, "pattern": ("one",)}
    section["mixers"] = {"one": {"kind": kind, "max_length": 30}}
    model = build_model(section, LABELS, length=30)
    assert model.facts.longest == 30
    with pytest.raises(ConfigError) as raised:
        build_model(section, LABELS, length=31)
    assert str(raised.value) == (
        "model.mixers.one: max_length=30 is below the length 31 that is asked for; raise it"
    )


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Hyena, {"order": 1}, "order=1 is not from 2 to 8: an order of N has N - 1 filters"),
        (Hyena, {"max_length": 0}, "max_length=0 is below 1"),
        (Hyena, {"filter_width": 0}, "filter_width=0 is below 1"),
        (Hyena, {"bands": 0}, "bands=0 is not from 1 to 4,096"),
        (Hyena, {"frequency": 0.0}, "frequency=0.0 is not above 0"),
        (
            Hyena,
            {"form": "direct"},
            "form='direct' is no form of fft_convolution; known: blocked, wh",
        ),
        (LongConvolution, {"squash": 1.0}, "squash=1.0 is not at least 0 and below 1"),
        (
            LongConvolution,
            {"smooth": 4},
            "smooth=4 is not an odd number of values from 1 to 255, such as 7; No",
        ),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(kind, settings, message):
    with pytest.raises(ParameterError) as raised:
        nnx.eval_shape(lambda: kind(WIDTH, **settings, rngs=nnx.Rngs(0)))
    assert str(raised.value).startswith(message)
