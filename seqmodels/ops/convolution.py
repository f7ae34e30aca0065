"""Convolution over one axis: dense, depthwise with a short kernel, depthwise with a long one."""

from functools import partial

import jax
import jax.numpy as jnp

from seqmodels.arrays import Array, Float


def convolution(
    x: Float[Array, "B L D"], weights: Float[Array, "kernel D F"], dilation: int = 1
) -> Float[Array, "B M F"]:
    """``y_t = sum_i x_{t + i * dilation} @ weights_i`` where the whole kernel fits.

    The output has M = L - (kernel - 1) * dilation positions: the caller pads, with
    zeros or with what came before, and so decides what an output may see.
    """
    return jax.lax.conv_general_dilated(
        x,
        weights.astype(x.dtype),
        window_strides=(1,),
        padding="VALID",
        rhs_dilation=(dilation,),
        dimension_numbers=("NWC", "WIO", "NWC"),
    )


def convolution_reference(
    x: Float[Array, "B L D"], weights: Float[Array, "kernel D F"], dilation: int = 1
) -> Float[Array, "B M F"]:
    """:func:`convolution` as a sum of shifted products."""
    kernel = weights.shape[0]
    length = x.shape[1] - (kernel - 1) * dilation
    shifted = [x[:, i * dilation : i * dilation + length] for i in range(kernel)]
    return sum(s @ w for s, w in zip(shifted, weights, strict=True)) + jnp.zeros((), x.dtype)


def depthwise_convolution(
    x: Float[Array, "B L D"], weights: Float[Array, "kernel D"], dilation: int = 1
) -> Float[Array, "B M D"]:
    """``y_t = sum_i weights_i * x_{t + i * dilation}`` where the whole kernel fits.

    Shifted multiply-adds: on CPU, forward and backward, a quarter of the time that XLA's
    grouped convolution takes or less. On GPU and TPU they compile to a few passes over x,
    and stay: not timed there. M = L - (kernel - 1) * dilation, as above; sums
    are float32.
    """
    return _depthwise(x, weights, dilation)


def depthwise_convolution_reference(
    x: Float[Array, "B L D"], weights: Float[Array, "kernel D"], dilation: int = 1
) -> Float[Array, "B M D"]:
    """:func:`depthwise_convolution` as XLA's convolution with as many groups as features."""
    return jax.lax.conv_general_dilated(
        x,
        weights.astype(x.dtype)[:, None],
        window_strides=(1,),
        padding="VALID",
        rhs_dilation=(dilation,),
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=x.shape[2],
    )


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _depthwise(x, weights, dilation):
    return _shifted_sum(x, weights, dilation, x.shape[1] - (len(weights) - 1) * dilation)


def _shifted_sum(x, weights, dilation, length):
    terms = (
        x[:, i * dilation : i * dilation + length].astype(jnp.float32) * row[None, None]
        for i, row in enumerate(weights.astype(jnp.float32))
    )
    return sum(terms, jnp.zeros((), jnp.float32)).astype(x.dtype)


def _depthwise_forward(x, weights, dilation):
    return _depthwise(x, weights, dilation), (x, weights)


def _depthwise_backward(dilation, saved, d_y):
    x, weights = saved
    reach = (len(weights) - 1) * dilation
    padded = jnp.pad(d_y, ((0, 0), (reach, reach), (0, 0)))
    d_x = _shifted_sum(padded, weights[::-1], dilation, x.shape[1])
    # One sum over positions a row of the kernel; each reads x once more, from the cache.
    d_weights = jnp.stack(
        [
            jnp.sum(
                x[:, i * dilation : i * dilation + d_y.shape[1]].astype(jnp.float32)
                * d_y.astype(jnp.float32),
                axis=(0, 1),
            )
            for i in range(len(weights))
        ]
    )
    return d_x, d_weights.astype(weights.dtype)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def fft_convolution(x: Float[Array, "B L D"], kernel: Float[Array, "M D"]) -> Float[Array, "B L D"]:
    """``y_t = sum_{i <= t} kernel_i * x_{t - i}``: causal, with a kernel as long as the sequence.

    By the convolution theorem, in L log L instead of L * M, as in S4 (Gu et al. 2022)
    and Hyena (Poli et al. 2023).
    Positions before the first count as zeros. Sums are float32.
    """
    return _fft_convolution(x, kernel)


def fft_convolution_reference(
    x: Float[Array, "B L D"], kernel: Float[Array, "M D"]
) -> Float[Array, "B L D"]:
    """:func:`fft_convolution` as the sum that it stands for."""
    convolve = lambda x, kernel: jnp.convolve(x, kernel)[: len(x)]  # noqa: E731
    over_features = jax.vmap(convolve, in_axes=1, out_axes=1)
    return jax.vmap(over_features, in_axes=(0, None))(x, kernel.astype(x.dtype))


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
