"""Causal convolution with a kernel as long as the sequence, by Fourier transforms."""

import jax
import jax.numpy as jnp

from seqmodels.arrays import Array, Float


def fft_convolution(x: Float[Array, "B L D"], kernel: Float[Array, "M D"]) -> Float[Array, "B L D"]:
    """``y_t = sum_{i <= t} kernel_i * x_{t - i}``: causal, with a kernel as long as the sequence.

    By the convolution theorem, in L log L instead of L * M, as in S4 (Gu et al. 2022)
    and Hyena (Poli et al. 2023).
    Positions before the first count as zeros. Sums are float32.
    """
    return _fft_convolution(x, kernel)


@jax.custom_vjp
def _fft_convolution(x, kernel):
    return _fft_forward(x, kernel)[0]


def _fft_forward(x, kernel):
    size = _fft_size(x.shape[1] + kernel.shape[0] - 1)
    spectrum, kernel_spectrum = _spectrum(x, size), _spectrum(kernel, size)
    y = _from_spectrum(spectrum * kernel_spectrum[None], size, x.shape[1])
    return y.astype(x.dtype), (spectrum, kernel_spectrum, x, kernel)


def _fft_backward(saved, d_y):
    spectrum, kernel_spectrum, x, kernel = saved
    size = _fft_size(x.shape[1] + kernel.shape[0] - 1)
    d_spectrum = _spectrum(d_y, size)
    d_x = _from_spectrum(d_spectrum * kernel_spectrum.conj()[None], size, x.shape[1])
    summed = jnp.sum(d_spectrum * spectrum.conj(), axis=0)
    d_kernel = _from_spectrum(summed, size, kernel.shape[0])
    return d_x.astype(x.dtype), d_kernel.astype(kernel.dtype)


_fft_convolution.defvjp(_fft_forward, _fft_backward)


def _fft_size(length):
    """The next size whose only prime factors are 2 and 3: transforms of it are fast."""
    twos = 1 << (length - 1).bit_length()
    return next(size for size in (twos * 9 // 16, twos * 3 // 4, twos) if size >= length)


def _spectrum(x, size):
    return jnp.fft.rfft(x.astype(jnp.float32), size, axis=-2)


def _from_spectrum(spectrum, size, length):
    return jnp.fft.irfft(spectrum, size, axis=-2)[..., :length, :]
