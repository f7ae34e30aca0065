"""The short convolution: what it computes, how it is drawn, and who holds it."""

import jax
import numpy as np
import pytest
from flax import nnx

from seqmodels.mixers import MIXERS, Context, Short, ShortConvolution, construct_mixer
from seqmodels.model import build_model
from seqmodels.tasks.base import TaskSpec
from tests.mixers.variants import CASES, WIDTH, normal

AXES = {"H": 2, "K": 4}
LABELS = TaskSpec("many-to-many", "tokens", 5, 3, False, "accuracy", True)


@pytest.mark.parametrize(("activation", "causal"), [("none", True), ("silu", False)])
def test_it_is_the_sum_that_it_stands_for(activation, causal):
    """Of a row, and of one that is padded before, within and behind; an even kernel has no centre
    and is taken one wider.
    """
    mixer = ShortConvolution(AXES, Short(4, activation), causal=causal, rngs=nnx.Rngs(0))
    weights, bias = (np.asarray(part[...], np.float64) for part in (mixer.weights, mixer.bias))
    assert (mixer.kernel, weights.shape) == (4 if causal else 5, (4 if causal else 5, 2, 4))
    x = normal((2, 9, 2, 4))
    valid = np.array([[True] * 9, [False, False, True, True, False, True, True, True, False]])
    expected = np.broadcast_to(bias, x.shape).copy()
    last = 3 if causal else 2
    for row, t, i in np.ndindex(2, 9, mixer.kernel):
        place = t - last + i
        if 0 <= place < 9 and valid[row, place]:
            expected[row, t] += weights[i] * x[row, place]
    if activation == "silu":
        expected /= 1 + np.exp(-expected)
    y, after = mixer(jax.numpy.asarray(x), None, Context.of(2, 9, valid))
    np.testing.assert_allclose(np.asarray(y)[valid], expected[valid], rtol=1e-5, atol=1e-6)
    assert after is None


def test_it_is_drawn_as_mambas():
    """torch's Conv1d draws weights and biases uniformly within 1 / sqrt(kernel) of 0."""
    mixer = ShortConvolution({"E": 4096}, Short(4), rngs=nnx.Rngs(0))
    for drawn in (np.asarray(mixer.weights[...]), np.asarray(mixer.bias[...])):
        assert 0.499 < np.abs(drawn).max() <= 0.5
        assert abs(drawn.mean()) < 4 * 0.5 / np.sqrt(3 * drawn.size)
        np.testing.assert_allclose(np.mean(drawn**2), 0.25 / 3, rtol=0.05)


@pytest.mark.parametrize("kind", MIXERS)
def test_a_mixer_holds_one_a_projection_or_has_one_before_it(kind):
    settings = dict(next(settings for of, settings in CASES.values() if of == kind))
    settings.pop("short", None)

    def make() -> nnx.List:
        section = {"kind": kind, **settings}
        made = construct_mixer(section, "mixer", width=WIDTH, short=Short(4), rngs=nnx.Rngs(0))
        return nnx.List([part for part in made if part is not None])

    made = nnx.eval_shape(make)
    found = [part for _, part in nnx.iter_modules(made) if isinstance(part, ShortConvolution)]
    assert len(found) == max(1, len(MIXERS[kind].convolved))
    assert len(made) == (1 if MIXERS[kind].convolved else 2)


@pytest.mark.parametrize(
    ("mixer", "widened"),
    [
        ({"kind": "attention", "causal": False}, {"one": 5}),
        ({"kind": "convolution", "causal": False}, {"one": 5}),
        ({"kind": "attention"}, {}),
        ({"kind": "bidirectional", "mixer": {"kind": "gru"}}, {}),
    ],
    ids=str,
)
def test_a_model_says_which_kernels_are_wider_than_set(mixer, widened):
    section = {"width": 8, "depth": 1, "pattern": ("one",), "mixers": {"one": mixer}}
    assert build_model(section | {"short_convolution": 4}, LABELS).facts.widened == widened
    assert build_model(section | {"short_convolution": 3}, LABELS).facts.widened == {}
