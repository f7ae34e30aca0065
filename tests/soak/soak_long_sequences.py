"""Fourier convolutions and forgetting attention at 4,096 positions, against NumPy's float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.mixers import Attention
from seqmodels.ops.fft_convolution import FFT_CONVOLUTION, fft_convolution
from tests.mixers.test_forgetting import numpy_forgetting
from tests.mixers.variants import WIDTH, normal

LENGTH = 4096


def convolved(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Causally, by transforms of twice the length in float64."""
    spectra = np.fft.rfft(x, 2 * LENGTH, axis=-2) * np.fft.rfft(kernel, 2 * LENGTH, axis=-2)
    return np.fft.irfft(spectra, 2 * LENGTH, axis=-2)[..., :LENGTH, :]


def assert_near(found, expected) -> None:
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)


@pytest.mark.parametrize("form", FFT_CONVOLUTION.forms)
def test_a_form_of_fourier_convolution(form, monkeypatch):
    monkeypatch.setattr("seqmodels.ops.fft_convolution.BLOCK", 1024)
    x, d_y = (normal((2, LENGTH, 4), seed=seed) for seed in (0, 1))
    kernel = normal((LENGTH, 4), seed=2)

    @jax.jit
    def run(x, kernel, d_y):
        y, pull = jax.vjp(partial(fft_convolution, form=form), x, kernel)
        return y, *pull(d_y)

    y, d_x, d_kernel = map(np.asarray, run(x, kernel, d_y))
    back = np.flip(d_y, 1).astype(np.float64)
    assert_near(y, convolved(x.astype(np.float64), kernel.astype(np.float64)[None]))
    assert_near(d_x, np.flip(convolved(back, kernel.astype(np.float64)[None]), 1))
    assert_near(d_kernel, np.flip(convolved(back, x.astype(np.float64)), 1).sum(axis=0))


def test_forgetting():
    mixer = Attention(WIDTH, 2, positions="none", forgetting=True, rngs=nnx.Rngs(0))
    mixer.forgetting.gates.bias[...] = jnp.array([2.0, 6.0])
    x = normal((1, LENGTH, WIDTH))
    graph, params = nnx.split(mixer)
    found = jax.jit(lambda params, x: nnx.merge(graph, params)(x))(params, x)
    assert_near(found, numpy_forgetting(mixer, x.astype(np.float64), None))


@pytest.mark.parametrize("form", FFT_CONVOLUTION.forms)
def test_memory_of_a_form_is_linear(form):
    def temporaries(length: int) -> int:
        x = jax.ShapeDtypeStruct((2, length, 8), jnp.float32)
        kernel = jax.ShapeDtypeStruct((length, 8), jnp.float32)

        def loss(x, kernel):
            return jnp.sum(fft_convolution(x, kernel, form) ** 2)

        compiled = jax.jit(jax.grad(loss, (0, 1))).lower(x, kernel).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(2**15) <= 2.3 * temporaries(2**14)
