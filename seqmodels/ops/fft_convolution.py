"""Causal convolution with a kernel as long as the sequence, by Fourier transforms."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec

from seqmodels.arrays import Array, Float, Int
from seqmodels.ops.by_parts import POSITIONS, ROWS, WHOLE, by_parts, shares
from seqmodels.ops.exchange import AXIS
from seqmodels.ops.forms import Form, Operation
from seqmodels.ops.parts import parts

BLOCK = 8192
"""Positions of a block of the form by blocks: its transforms stay in a core's cache."""
FEW_PLACES = 4
"""Up to so many outputs are sums over all that was read; more are cut out of a whole."""


def fft_convolution(
    x: Float[Array, "B L D"], kernel: Float[Array, "M D"], form: str | None = None
) -> Float[Array, "B L D"]:
    """``y_t = sum_{i <= t} kernel_i * x_{t - i}``: causal, with a kernel as long as the sequence.

    By the convolution theorem, in L log L instead of L * M, as in S4 (Gu et al. 2022)
    and Hyena (Poli et al. 2023).
    Positions before the first count as zeros. Sums are float32. ``form`` names one in
    FFT_CONVOLUTION.

    Devices that hold parts of the positions exchange them for parts of the features, and back;
    where the parts aren't equal, the compiler puts them together.
    """
    return FFT_CONVOLUTION(x, kernel[: x.shape[1]], form=form)


def _across(run, x, kernel):
    """All positions of a share of the features on each device: a transform takes all of them."""
    n, features = parts("sequence"), x.shape[2]
    if shares("sequence", x.shape[1]) == 1:
        return run(x, kernel)

    def whole(x):
        # Shares are made equal by features of zeros.
        x = jnp.pad(x, ((0, 0), (0, 0), (0, -features % n)))
        return lax.all_to_all(x, AXIS, 2, 1, tiled=True)

    def local(x, kernel):
        y = run(whole(x), whole(kernel)[0])
        return lax.all_to_all(y, AXIS, 1, 2, tiled=True)[..., :features]

    kernel = jnp.pad(kernel, ((0, -len(kernel) % n), (0, 0)))[None]
    specs = (POSITIONS, PartitionSpec(None, AXIS))
    return by_parts(local, x.shape, specs, POSITIONS)(x, kernel)


def convolution_at(
    seen: Float[Array, "B S D"], kernel: Float[Array, "M D"], places: Int[Array, "B L"]
) -> Float[Array, "B L D"]:
    """``y_p = sum_{i <= p} kernel_i * seen_{p - i}`` at some places p of what was read so far.

    What lies in ``seen`` past a place doesn't count. A few places are each a sum over S; otherwise
    all are computed as by :func:`fft_convolution`.
    """
    if places.shape[1] > FEW_PLACES:
        return jnp.take_along_axis(fft_convolution(seen, kernel), places[:, :, None], axis=1)
    size = seen.shape[1]
    kernel = kernel[:size].astype(jnp.float32)
    # Backwards, and zeros for what comes later: a place's weights are a slice of it.
    table = jnp.pad(kernel[::-1], ((max(0, size - len(kernel)), size), (0, 0)))
    exact = seen.astype(jnp.float32)

    def weights(place: Int[Array, ""]) -> Float[Array, "S D"]:
        return lax.dynamic_slice_in_dim(table, size - 1 - place, size)

    def at(place: Int[Array, "B"]) -> Float[Array, "B D"]:
        return jnp.sum(jax.vmap(weights)(place) * exact, axis=1)

    made = [at(places[:, index]) for index in range(places.shape[1])]
    return jnp.stack(made, axis=1).astype(seen.dtype)


def convolution_flops(length: int, width: int) -> int:
    """Operations of one sequence's convolution with a kernel as long: three transforms a feature.

    One of n points counts as 5 n log2 n.
    """
    points = transform_size(2 * length - 1)
    return 3 * round(5 * width * points * math.log2(points))


def transform_size(length: int) -> int:
    """The next size whose only prime factors are 2, 3 and 5: transforms of it are fast."""
    twos = 1 << (length - 1).bit_length()
    sizes = (twos * 9 // 16, twos * 5 // 8, twos * 3 // 4, twos)
    return next(size for size in sizes if size >= length)


def _by_feature(core):
    """A form of [B, L, D] from one of [B, D, L] in float32: transforms take the last axis.

    Of its rows on each device: the compiler would put all together for a transform.
    """

    def local(x, kernel):
        y = core(x.astype(jnp.float32).swapaxes(1, 2), kernel.astype(jnp.float32).T)
        return y.swapaxes(1, 2).astype(x.dtype)

    def run(x, kernel):
        return by_parts(local, x.shape[:1], (ROWS, WHOLE), ROWS)(x, kernel)

    return run


def _points(x, kernel):
    return transform_size(x.shape[-1] + kernel.shape[-1] - 1)


def _back(spectrum, points, length):
    return jnp.fft.irfft(spectrum, points)[..., :length]


@jax.custom_vjp
def _whole(x, kernel):
    return _whole_forward(x, kernel)[0]


def _whole_forward(x, kernel):
    points = _points(x, kernel)
    spectrum, kernel_spectrum = jnp.fft.rfft(x, points), jnp.fft.rfft(kernel, points)
    y = _back(spectrum * kernel_spectrum[None], points, x.shape[-1])
    return y, (spectrum, kernel_spectrum, kernel)


def _whole_backward(saved, d_y):
    spectrum, kernel_spectrum, kernel = saved
    points = _points(d_y, kernel)
    d_spectrum = jnp.fft.rfft(d_y, points)
    d_x = _back(d_spectrum * kernel_spectrum.conj()[None], points, d_y.shape[-1])
    summed = jnp.sum(d_spectrum * spectrum.conj(), axis=0)
    return d_x, _back(summed, points, kernel.shape[-1])


_whole.defvjp(_whole_forward, _whole_backward)


def _blocked(x, kernel):
    size = min(BLOCK, x.shape[-1])
    return _overlap_add(x, kernel, size)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _overlap_add(x, kernel, size):
    return _overlap_add_forward(x, kernel, size)[0]


def _overlap_add_forward(x, kernel, size):
    """Each block of x meets each of the kernel; what a product has beyond a block is the next's."""
    spectra, kernels = (jnp.fft.rfft(_cut(a, size), 2 * size) for a in (x, kernel))

    def meet(total, place):
        return total + _shifted(spectra, place) * kernels[place][None, None], None

    products, _ = lax.scan(meet, jnp.zeros_like(spectra), jnp.arange(len(kernels)))
    made = jnp.fft.irfft(products, 2 * size)  # [N, B, D, 2C]
    late = jnp.pad(made[:-1, ..., size:], ((1, 0), (0, 0), (0, 0), (0, 0)))
    y = _joined(made[..., :size] + late, x.shape[-1])
    return y, (spectra, kernels, kernel)


def _overlap_add_backward(size, saved, d_y):
    spectra, kernels, kernel = saved
    length = d_y.shape[-1]
    d_blocks = _cut(d_y, size)
    following = jnp.pad(d_blocks[1:], ((0, 1), (0, 0), (0, 0), (0, 0)))
    d_products = jnp.fft.rfft(jnp.concatenate([d_blocks, following], axis=-1))

    def meet(total, place):
        met = _shifted(spectra, place)
        d_kernel = jnp.sum(d_products * met.conj(), axis=(0, 1))
        later = _shifted(d_products[::-1], place)[::-1]
        return total + later * kernels[place].conj()[None, None], d_kernel

    d_spectra, d_kernels = lax.scan(meet, jnp.zeros_like(spectra), jnp.arange(len(kernels)))
    d_x = _joined(jnp.fft.irfft(d_spectra, 2 * size)[..., :size], length)
    d_kernel = jnp.fft.irfft(d_kernels, 2 * size)[..., :size]
    return d_x, d_kernel.swapaxes(0, 1).reshape(len(kernel), -1)[:, : kernel.shape[-1]]


_overlap_add.defvjp(_overlap_add_forward, _overlap_add_backward)


def _cut(x, size):
    """[..., L] as blocks [N, ..., C], the last one padded."""
    edges = ((0, 0),) * (x.ndim - 1) + ((0, -x.shape[-1] % size),)
    return jnp.moveaxis(jnp.pad(x, edges).reshape(*x.shape[:-1], -1, size), -2, 0)


def _joined(blocks, length):
    return jnp.moveaxis(blocks, 0, -2).reshape(*blocks.shape[1:-1], -1)[..., :length]


def _shifted(blocks, place):
    """Each block where the one ``place`` before it was, and zeros in the first ones."""
    later = jnp.arange(len(blocks)) - place
    moved = jnp.take(blocks, jnp.maximum(later, 0), axis=0)
    return jnp.where((later >= 0).reshape(-1, *(1,) * (blocks.ndim - 1)), moved, 0)


FFT_CONVOLUTION = Operation(
    "fft_convolution",
    {
        "blocked": Form(_by_feature(_blocked), suits=lambda *_: False),
        "whole": Form(_by_feature(_whole)),
    },
    across=_across,
)
"""Of (x, kernel)."""
