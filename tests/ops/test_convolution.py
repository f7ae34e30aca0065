"""Every form of convolution against the sum that it stands for, written down in NumPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.ops.convolution import CONVOLUTION, convolution, depthwise_convolution
from seqmodels.ops.fft_convolution import FFT_CONVOLUTION, convolution_at, fft_convolution
from seqmodels.ops.forms import chosen_forms


def plain_convolution(x, weights, d_y, dilation=1, stride=1, groups=1) -> tuple[np.ndarray, ...]:
    """The output, and the gradients of x and weights for d_y, place by place of the kernel."""
    x, weights, d_y = (array.astype(np.float64) for array in (x, weights, d_y))
    y, d_x, d_weights = np.zeros_like(d_y), np.zeros_like(x), np.zeros_like(weights)
    read, made = x.shape[-1] // groups, d_y.shape[-1] // groups
    for place in np.ndindex(*weights.shape[:-2]):
        starts = [i * dilation for i in place]
        cuts = [
            slice(start, start + (count - 1) * stride + 1, stride)
            for start, count in zip(starts, d_y.shape[1:-1], strict=True)
        ]
        for group in range(groups):
            met = (slice(None), *cuts, slice(group * read, (group + 1) * read))
            of = (..., slice(group * made, (group + 1) * made))
            matrix = weights[place][of]
            y[of] += x[met] @ matrix
            d_x[met] += d_y[of] @ matrix.T
            d_weights[place][of] += np.tensordot(x[met], d_y[of], [range(x.ndim - 1)] * 2)
    return y, d_x, d_weights


def plain_depthwise(x, weights, d_y, **settings) -> tuple[np.ndarray, ...]:
    """The same with a group a feature; weights are [*kernel, D]."""
    y, d_x, d_weights = plain_convolution(
        x, weights[..., None, :], d_y, groups=x.shape[-1], **settings
    )
    return y, d_x, d_weights[..., 0, :]


def plain_causal(x, kernel, d_y) -> tuple[np.ndarray, ...]:
    """``y_t = sum_{i <= t} kernel_i * x_{t - i}``."""
    before = len(kernel) - 1
    y, d_x, d_kernel = plain_depthwise(np.pad(x, ((0, 0), (before, 0), (0, 0))), kernel[::-1], d_y)
    return y, d_x[:, before:], d_kernel[::-1]


def gradient_of(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def assert_equal_the_plain(*cases) -> None:
    """Compares outputs and both gradients of (form, plain, x, weights, d_y), by one program."""

    @jax.jit
    def run(arrays):
        results = []
        for (form, *_), (x, weights, d_y) in zip(cases, arrays, strict=True):
            y, backward = jax.vjp(form, x, weights)
            results.append((y, *backward(d_y)))
        return results

    every = run([arrays for _, _, *arrays in cases])
    for results, (form, plain, *arrays) in zip(every, cases, strict=True):
        for actual, wanted in zip(results, plain(*arrays), strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-4, err_msg=str(form))


def every_form(x, weights, counts, dilation=1, stride=1, groups=1) -> list[tuple]:
    """A convolution by each form, and a depthwise one, of ``counts`` outputs along each axis."""
    settings = {"dilation": dilation, "stride": stride}
    d_y = gradient_of((len(x), *counts, weights.shape[-1]))
    each = weights[..., 0, : x.shape[-1]]
    plain = partial(plain_convolution, groups=groups, **settings)
    forms = [
        f
        for f in CONVOLUTION.forms
        if not CONVOLUTION.refusal(f, x, weights, dilation, stride, groups)
    ]
    return [
        *[
            (partial(convolution, groups=groups, form=form, **settings), plain, x, weights, d_y)
            for form in forms
        ],
        (
            partial(depthwise_convolution, **settings),
            partial(plain_depthwise, **settings),
            x,
            each,
            d_y[..., : x.shape[-1]],
        ),
    ]


def arrays(length: int, kernel: int) -> list[np.ndarray]:
    """An input of two rows with 3 features, and weights to 5."""
    random = np.random.default_rng(length)
    shapes = [(2, length, 3), (kernel, 3, 5)]
    return [random.normal(size=shape).astype(np.float32) for shape in shapes]


# Length, kernel, dilation.
CASES = [(1, 1, 1), (7, 3, 1), (63, 4, 1), (63, 7, 3), (100, 2, 13), (130, 5, 8), (15, 3, 7)]


def test_equals_its_reference():
    cases = []
    for length, kernel, dilation in CASES:
        made = length - (kernel - 1) * dilation
        cases += every_form(*arrays(length, kernel), (made,), dilation)
    assert_equal_the_plain(*cases)


# Axes, kernel, dilation, stride, groups.
GRIDS = {
    "plane": ((9, 6), (3, 2), 2, 1, 1),
    "strided": ((9, 12), (3, 4), 1, 2, 2),
    "dilated-and-strided": ((9, 7), (2, 3), 3, 3, 1),
    "volume": ((5, 4, 6), (2, 1, 3), 1, 1, 3),
    "dilated-volume": ((7, 5, 4), (3, 2, 1), 2, 1, 2),
    "strided-volume": ((5, 4, 7), (3, 2, 3), 1, 2, 1),
    "strided-sequence": ((23,), (4,), 2, 3, 2),
}


@pytest.mark.parametrize("name", GRIDS)
def test_on_grids_equals_its_reference(name):
    axes, kernel, dilation, stride, groups = GRIDS[name]
    random = np.random.default_rng(len(axes))
    shapes = [(2, *axes, 6), (*kernel, 6 // groups, 12)]
    x, weights = (random.normal(size=shape).astype(np.float32) for shape in shapes)
    starts = [range(0, n - (k - 1) * dilation, stride) for n, k in zip(axes, kernel, strict=True)]
    counts = tuple(map(len, starts))
    assert_equal_the_plain(*every_form(x, weights, counts, dilation, stride, groups))


@pytest.mark.slow
def test_fft_equals_the_sum_that_it_stands_for(monkeypatch):
    cases = []
    for length, kernel in [(1, 1), (7, 3), (63, 63), (100, 130), (130, 1), (17, 31)]:
        x, weights = arrays(length, kernel)
        for form in FFT_CONVOLUTION.forms:
            convolve = partial(fft_convolution, form=form)
            cases.append((convolve, plain_causal, x, weights[:, :, 0], gradient_of(x.shape)))
    monkeypatch.setattr("seqmodels.ops.fft_convolution.BLOCK", 16)
    assert_equal_the_plain(*cases)


@pytest.mark.parametrize("count", [2, 9])
def test_outputs_at_some_places_of_what_was_read(count):
    """Whatever lies past them: two rows that have read 30 and 12 positions of room for 40."""
    x, weights = arrays(40, 50)
    kernel, read = weights[:, :, 0], np.array([30, 12])
    places = read[:, None] - count + np.arange(count)[None]
    expected = plain_causal(x, kernel, gradient_of(x.shape))[0]
    seen = np.where(np.arange(40)[None, :, None] < read[:, None, None], x, 100)
    found = jax.jit(convolution_at)(seen.astype(np.float32), kernel, places)
    wanted = np.take_along_axis(expected, places[:, :, None], axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("platform", "rank", "dilation", "groups", "form"),
    [
        ("cpu", 1, 1, 1, "xla"),
        ("cpu", 2, 2, 1, "xla"),
        ("cpu", 3, 1, 1, "planes"),
        ("cuda", 1, 1, 1, "xla"),
        ("cuda", 1, 2, 1, "patches"),
        ("cuda", 3, 2, 1, "patches"),
        ("cuda", 1, 2, 2, "xla"),
        ("tpu", 1, 2, 1, "xla"),
    ],
)
def test_platform_axes_and_dilation_choose_the_form(
    monkeypatch, platform, rank, dilation, groups, form
):
    for module in ("forms", "convolution"):
        monkeypatch.setattr(f"seqmodels.ops.{module}.platform", lambda: platform)
    x = jax.ShapeDtypeStruct((1, *(6,) * rank, 4), np.float32)
    weights = jax.ShapeDtypeStruct((*(3,) * rank, 4 // groups, 4), np.float32)
    with chosen_forms() as forms:
        jax.eval_shape(partial(convolution, dilation=dilation, groups=groups), x, weights)
    assert forms == {"convolution": [form]}


def test_equals_a_loop():
    x, weights = arrays(length=9, kernel=3)
    expected = np.zeros((2, 5, 5))
    for t in range(5):
        for i in range(3):
            expected[:, t] += x[:, t + 2 * i] @ weights[i]
    actual = jax.jit(partial(convolution, dilation=2))(x, weights)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_follows_the_dtype_of_its_input():
    x, weights = arrays(length=9, kernel=3)

    @jax.jit
    def every(x, weights):
        each = weights[:, :, 0]
        return (
            convolution(x, weights),
            depthwise_convolution(x, each),
            fft_convolution(x, each),
        )

    half = every(x.astype(jnp.bfloat16), weights)
    for y, expected in zip(half, every(x, weights), strict=True):
        assert y.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(y, np.float32), expected, rtol=0.05, atol=0.1)
