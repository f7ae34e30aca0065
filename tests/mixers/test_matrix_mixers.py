"""What mixers with a matrix as their state begin with, refuse, and mean by their settings."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.errors import ParameterError
from seqmodels.mixers import MIXERS, RWKV7, Context, DeltaNet, Retention
from seqmodels.mixers.decays import StepDecay
from seqmodels.parameters import declared
from tests.mixers.variants import WIDTH, make, normal


@pytest.mark.parametrize("lowest", [0.0, 1.0])
def test_rates_begin_uniform_and_steps_uniform_in_their_logs(lowest):
    """Rates from 0 (Gated DeltaNet) or 1 (Mamba-2, KDA) to 16, steps from 0.001 to 0.1."""
    decay = StepDecay({"H": 4000}, lowest, rngs=nnx.Rngs(0))
    logs = np.log(decay.steps(jnp.zeros((1, 1, 4000)))).ravel()
    rates = np.exp(decay.A_log[...])
    for drawn, low, high in ((rates, lowest, 16), (logs, math.log(0.001), math.log(0.1))):
        assert drawn.min() >= low - 1e-4
        assert drawn.max() <= high + 1e-4
        deciles = np.quantile(drawn, np.linspace(0, 1, 11))
        np.testing.assert_allclose(deciles, np.linspace(low, high, 11), atol=0.03 * (high - low))
    decays = decay.log(jnp.exp(jnp.asarray(logs)).reshape(1, 1, -1))
    np.testing.assert_allclose(decays[0, 0], -rates * np.exp(logs), rtol=1e-5)


def test_rwkv_begins_as_its_first_layer_does():
    """By the official formulas, at D = 8 with 2 heads of 4."""
    mixer = RWKV7(8, 2, decay_rank=4, gate_rank=4, rngs=nnx.Rngs(0))
    n, within = np.arange(8), np.array([-1, -1 / 9, 1 / 9, 1] * 2)
    mixtures = [1 - (n / 8) ** power for power in (0.2, 0.9, 0.7, 0.7, 0.9, 0.2)]
    along = n / 7 - 0.5
    expected = {
        "mixtures": mixtures,
        "decay_up/bias": -6 + 6 * n / 7 + 0.5 + 2.5 * within,
        "strength_up/bias": -0.19 + 0.3 * within + 0.4 * along,
        "erased": 0.71 - 0.1 * along,
        "strengthened": np.full(8, 1.02),
        "bonus": np.full(8, -0.04),
        "outputs/weights": np.zeros((2, 4, 8)),
        "gate_down/weights": np.zeros((8, 4)),
    }
    for path, value in expected.items():
        found = mixer
        for name in path.split("/"):
            found = getattr(found, name)
        np.testing.assert_allclose(np.ravel(found[...]), np.ravel(value), atol=1e-6, err_msg=path)
    up = np.asarray(mixer.decay_up.weights[...]).reshape(4, 8)
    np.testing.assert_allclose(up @ up.T, 0.01 * np.eye(4), atol=1e-6)
    for name, bound in (("queries", 0.5), ("keys", 0.05), ("values", 0.5)):
        weights = np.abs(getattr(mixer, name).weights[...])
        assert 0.8 < weights.max() * math.sqrt(8) / bound <= 1
    assert declared(mixer)["decay_up"]["bias"].rate == 2.0


def test_the_gates_of_an_mlstm_begin_open():
    mixer = MIXERS["mlstm"](64, 32, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(mixer.forget_gate.bias[...], np.linspace(3, 6, 32), rtol=1e-6)
    assert not np.any(mixer.forget_gate.weights[...])
    assert not np.any(mixer.input_gate.weights[...])
    assert 0.05 < np.std(mixer.input_gate.bias[...]) < 0.15


@pytest.mark.parametrize("kind", ["mamba2", "gated_deltanet", "kda", "deltaproduct"])
def test_rates_steps_and_skips_do_not_decay(kind):
    said = declared(make(kind, {}))
    for name in ("A_log", "dt_bias"):
        assert not said["decay"][name].decays
    assert kind != "mamba2" or not said["skip"].decays


@pytest.mark.slow
def test_retention_forgets_at_the_rates_of_the_paper():
    """Heads h forget 2^(-5 - h) of their state: seen by the state after a written one."""
    mixer = Retention(WIDTH, 4, rngs=nnx.Rngs(0))
    for linear in (mixer.keys, mixer.values):
        linear.weights[...] = jnp.zeros_like(linear.weights[...])
    state = jax.tree.map(jnp.ones_like, mixer.initial_state(1, 0))
    _, after = mixer.extend(jnp.zeros((1, 1, WIDTH)), state, Context.of(1, 1))
    np.testing.assert_allclose(
        after["matrix"][0, :, 0, 0], 1 - 2.0 ** (-5 - np.arange(4)), rtol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize(("negative", "left"), [(False, 1.0), (True, 0.0)])
def test_with_negative_eigenvalues_what_is_written_twice_is_undone(negative, left):
    """S becomes beta k v^T, then (1 - beta) beta k v^T + beta k v^T: at beta = 2 nothing."""
    mixer = DeltaNet(WIDTH, 1, negative_eigenvalues=negative, rngs=nnx.Rngs(0))
    mixer.strengths.bias[...] = mixer.strengths.bias[...] + 100
    x = jnp.asarray(np.tile(normal((1, 1, WIDTH)), (1, 2, 1)))
    zero = mixer.initial_state(1, 0)
    _, once = mixer.extend(x[:, :1], zero, Context.of(1, 1))
    _, twice = mixer.extend(x, zero, Context.of(1, 2))
    np.testing.assert_allclose(
        twice["matrix"], left * np.asarray(once["matrix"]), rtol=1e-4, atol=1e-5
    )
    assert np.abs(once["matrix"]).max() > 0.01


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("linear_attention", {"heads": 0}, "heads=0 is below 1"),
        (
            "linear_attention",
            {"heads": 3},
            "heads=3 does not divide the width 8; choose one of 1, 2, 4, 8",
        ),
        (
            "linear_attention",
            {"features": "identity"},
            "features='identity' may be negative, and normalised=True divides by their sums; set "
            "normalised=False, or features to 'elu' or 'relu'",
        ),
        ("linear_attention", {"chunk": 0}, "chunk=0 is no power of 2; choose one, such as 64"),
        ("gla", {"chunk": 48}, "chunk=48 is no power of 2; choose one, such as 64"),
        (
            "gla",
            {"key_expansion": 0.3},
            "key_expansion=0.3 of the width 8 is 2.4: no whole number above 0",
        ),
        ("gla", {"decay_rank": 0}, "decay_rank=0 is below 1"),
        (
            "retention",
            {"heads": 8},
            "heads=8 and key_expansion=1.0 make keys of 1 features a head, and these are turned in "
            "pairs",
        ),
        ("mamba2", {"state_size": 0}, "state_size=0 is not from 1 to 4,096"),
        (
            "mamba2",
            {"heads": 3},
            "heads=3 does not divide expansion=2.0 of the width, 16; choose one of 1, 2, 4, 8, 16",
        ),
        ("deltaproduct", {"steps": 0}, "steps=0 is not from 1 to 32 a token"),
        (
            "rwkv7",
            {"heads": 8},
            "heads=8 leaves heads of 1 feature; lower it to have 2 at least",
        ),
        (
            "mamba3",
            {"state_size": 6},
            "state_size=6 is no multiple of 4 up to 4,096; half is turned, in pairs",
        ),
        ("rwkv7", {"gate_rank": 0}, "gate_rank=0 is below 1"),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(kind, settings, message):
    with pytest.raises(ParameterError) as caught:
        make(kind, settings)
    assert str(caught.value) == message
