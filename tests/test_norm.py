"""The norms against float64, where the mean is far from 0, and dropout at every rate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.layers import Norm, dropout
from seqmodels.mixers.attention import Attention


def reference(x: np.ndarray, kind: str) -> np.ndarray:
    x = x.astype(np.float64)
    x = x - x.mean(-1, keepdims=True) if kind == "layer" else x
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)


@pytest.mark.parametrize("kind", ["layer", "rms"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("mean", [0.0, 4096.0, -1e6])
def test_norms_are_those_of_float64(kind, dtype, mean):
    """At mean 4,096 and deviation 1 as at 0: of what the dtype keeps of the numbers."""
    random = np.random.default_rng(0)
    x = jnp.asarray(mean + random.normal(size=(64, 100)), jnp.dtype(dtype))
    found = jax.jit(Norm(100, kind, rngs=nnx.Rngs(0)))(x)
    assert found.dtype == x.dtype
    expected = reference(np.asarray(x, np.float64), kind)
    tolerance = 2e-5 if dtype == "float32" else 2**-8 * max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, atol=tolerance)


def test_every_norm_is_this_one():
    """Of flax's own, whose variance is E[x^2] - E[x]^2 by default, none stands elsewhere."""
    heads = Attention(8, heads=2, qk_norm=True, rngs=nnx.Rngs(0))
    assert [type(norm) for norm in heads.norms] == [Norm, Norm]
    flax_norms = (nnx.LayerNorm, nnx.RMSNorm, nnx.GroupNorm, nnx.BatchNorm, nnx.InstanceNorm)
    alone = [m for _, m in nnx.iter_modules(heads) if isinstance(m, flax_norms)]
    assert [norm.use_fast_variance for norm in alone] == [False, False]


@pytest.mark.parametrize("rate", [1e-5, 0.001, 0.1, 1 / 3, 0.999, 1 - 1e-5, 1 - 1e-12])
def test_dropout_has_the_very_rate(rate):
    """Within five standard deviations of a million features."""
    x = jnp.ones((1000, 1001), jnp.float32)
    y = np.asarray(jax.jit(dropout, static_argnums=1)(x, rate, jax.random.key(1)))
    tolerance = 5 * np.sqrt(rate * (1 - rate) / y.size) + 1e-9
    assert abs(np.mean(y == 0) - rate) < tolerance
    np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-6)
    dropped = y == 0  # neighbours, which share a random word, are dropped as if they did not
    together = np.mean(dropped[:, 1:] & dropped[:, :-1])
    assert abs(together - rate**2) < 0.01 * rate * (1 - rate) + tolerance


def test_dropout_scales_bfloat16_without_a_bias():
    """1 / 0.9 rounded to bfloat16 would shift the mean by 0.2%; its products are rounded once."""
    x = jnp.asarray(np.random.default_rng(0).uniform(1, 2, (64, 256)), jnp.bfloat16)
    y = np.asarray(dropout(x, 0.1, jax.random.key(0)), np.float64)
    kept = y != 0
    ratio = y[kept].sum() / np.asarray(x, np.float64)[kept].sum()
    assert ratio == pytest.approx(1 / 0.9, rel=3e-4)
