"""The promises of seqmodels/mixers/base.py on grids, for the mixers that take them."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.mixers.variants import WIDTH, Variants, noisy_weights, normal, pure
from tests.soaking import SOAK

CASES: Variants = {
    "convolution-plane": ("convolution", {"kernel": (3, 5), "causal": False}),
    "convolution-dilated": ("convolution", {"kernel": (3, 3), "dilation": 2, "causal": False}),
    "convolution-separable": ("convolution", {"kernel": (3, 3), "groups": None, "causal": False}),
    "convolution-volume": ("convolution", {"kernel": (3, 1, 3), "causal": False, "gated": True}),
    "convolution-causal": ("convolution", {"kernel": (2, 3), "causal": True}),
    "neighbourhood-attention-plane": (
        "neighbourhood_attention",
        {"kernel": (3, 5), "causal": False},
    ),
    "neighbourhood-attention-dilated": (
        "neighbourhood_attention",
        {"kernel": (3, 3), "dilation": 2, "causal": False, "heads": 2},
    ),
    "neighbourhood-attention-volume": (
        "neighbourhood_attention",
        {"kernel": (1, 3, 3), "causal": False},
    ),
    "neighbourhood-attention-causal": (
        "neighbourhood_attention",
        {"kernel": (2, 3), "causal": True},
    ),
    "attention-set": ("attention", {"causal": False, "positions": "none"}),
}
STRIDED: Variants = {
    "convolution": ("convolution", {"kernel": (3, 3), "causal": False}),
    "convolution-separable": ("convolution", {"kernel": (3, 3), "groups": None, "causal": False}),
    "convolution-sequence": ("convolution", {"kernel": 5, "causal": False}),
    "neighbourhood-attention": (
        "neighbourhood_attention",
        {"kernel": (3, 3), "causal": False, "heads": 2},
    ),
    "neighbourhood-attention-sequence": ("neighbourhood_attention", {"kernel": 4, "causal": True}),
}
every_case = pytest.mark.parametrize("name", CASES)


class Built:
    """A mixer and noisy weights for it."""

    def __init__(self, kind: str, settings: dict):
        self.mixer, self.shapes, self.call, _ = pure(kind, settings)
        self.params = noisy_weights(kind, settings)


@functools.cache
def built(name: str) -> Built:
    """A case, compiled once for each shape of its inputs."""
    return Built(*CASES[name])


class Padded(NamedTuple):
    """Three rows, padded here and there, at the end, and nowhere, and what is made of them."""

    x: np.ndarray
    mask: np.ndarray
    outputs: np.ndarray
    by_params: dict
    by_inputs: np.ndarray
    other: np.ndarray
    """The outputs where large numbers stand in the padding."""


@functools.cache
def padded(name: str) -> Padded:
    """A case's."""
    mixer, axes = built(name), axes_of(name)
    x = normal((3, *axes, WIDTH))
    mask = np.random.default_rng(0).random((3, *axes)) < 0.6
    mask[1, -2:], mask[1, :-2], mask[2] = False, True, True

    @jax.jit
    def gradients(params, x):
        def loss(params, x):
            outputs = mixer.call(params, x, mask)
            total = jnp.sum(jnp.where(mask[..., None], outputs * normal(x.shape, seed=2), 0.0))
            return total, outputs

        return jax.grad(loss, argnums=(0, 1), has_aux=True)(params, x)

    filled = np.where(mask[..., None], x, 100 * normal(x.shape, seed=1))
    (by_params, by_inputs), outputs = gradients(mixer.params, x)
    other = np.asarray(gradients(mixer.params, filled)[1])
    return Padded(x, mask, np.asarray(outputs), by_params, np.asarray(by_inputs), other)


def axes_of(name: str) -> tuple[int, ...]:
    """A small grid, with as many axes as the kernel has."""
    kernel = CASES[name][1].get("kernel", (1, 1))
    return (6, 7, 5)[: len(kernel)]


@pytest.mark.slow
@every_case
def test_shape_dtype_and_finite(name):
    x, outputs = padded(name).x, padded(name).outputs
    assert (outputs.shape, outputs.dtype) == (x.shape, np.float32)
    assert np.isfinite(outputs).all()


OF_KINDS = {kind: name for name, (kind, _) in reversed(CASES.items())}


@pytest.mark.parametrize("name", CASES if SOAK else OF_KINDS.values())
def test_bfloat16_is_the_same_function(name):
    mixer, x = built(name), padded(name).x
    full = np.asarray(mixer.call(mixer.params, x))
    half = mixer.call(mixer.params, x.astype(jnp.bfloat16))
    assert (half.shape, half.dtype) == (x.shape, jnp.bfloat16)
    difference = np.linalg.norm(np.asarray(half, np.float32) - full)
    assert difference < 0.03 * np.linalg.norm(full)


@pytest.mark.slow
@every_case
def test_padding_changes_nothing(name):
    mixer, (x, mask, outputs, _, _, other) = built(name), padded(name)
    np.testing.assert_array_equal(other[mask], outputs[mask])
    shorter = np.asarray(mixer.call(mixer.params, x[1:2, :-2]))
    np.testing.assert_allclose(outputs[1:2, :-2], shorter, rtol=1e-4, atol=1e-5)
    whole = np.asarray(mixer.call(mixer.params, x))
    np.testing.assert_allclose(outputs[2], whole[2], rtol=1e-5, atol=1e-6)


@every_case
def test_gradients_are_finite_and_not_zero(name):
    found = padded(name)
    for path, leaf in jax.tree.leaves_with_path((found.by_params, found.by_inputs)):
        assert np.isfinite(leaf).all(), path
        assert np.any(leaf), path
    assert not np.any(found.by_inputs[~found.mask])


@pytest.mark.parametrize("name", [name for name in CASES if "causal" in name])
def test_nothing_later_on_the_first_axis_is_seen(name):
    mixer = built(name)
    x = normal((1, *axes_of(name), WIDTH))
    moved = x.copy()
    moved[:, 3] += 1
    before, after = (np.asarray(mixer.call(mixer.params, y)) for y in (x, moved))
    np.testing.assert_array_equal(after[:, :3], before[:, :3])
    assert (after != before)[:, 3:5].any(axis=(0, 2, 3)).all()
    # A row sees its own later columns: on the other axes the kernel is centred.
    aside = x.copy()
    aside[:, 3, 3] += 1
    seen = (np.asarray(mixer.call(mixer.params, aside)) != before).any(axis=-1)[0]
    expected = np.zeros(axes_of(name), bool)
    expected[3:5, 2:5] = True
    np.testing.assert_array_equal(seen, expected)
    assert not mixer.mixer.has_state


@functools.cache
def without_stride(name: str) -> Built:
    return Built(*STRIDED[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", STRIDED)
@pytest.mark.parametrize("stride", [2, 3])
def test_a_stride_leaves_out_outputs(name, stride):
    kind, settings = STRIDED[name]
    plain, strided = without_stride(name), pure(kind, settings | {"stride": stride})
    rank = plain.mixer.rank
    x = normal((2, *(7, 6)[:rank], WIDTH))
    mask = np.random.default_rng(0).random(x.shape[:-1]) < 0.7
    every = (slice(None), *(slice(None, None, stride),) * rank)
    for real in (None, mask):
        whole = np.asarray(plain.call(plain.params, x, real))
        some = np.asarray(strided.call(plain.params, x, real))
        np.testing.assert_allclose(some, whole[every], rtol=1e-4, atol=1e-5)
    assert strided.mixer.stride == stride
    assert not strided.mixer.has_state


def test_parameters_of_neighbourhood_attention_do_not_grow_with_the_kernel():
    def size(kind: str, k: int) -> int:
        shapes = pure(kind, {"kernel": (k, k), "causal": False}).shapes
        return sum(leaf.size for leaf in jax.tree.leaves(shapes))

    assert (
        size("neighbourhood_attention", 3)
        == size("neighbourhood_attention", 5)
        == size("neighbourhood_attention", 7)
    )
    assert size("convolution", 3) < size("convolution", 5) < size("convolution", 7)


def test_attention_without_positions_is_an_operation_on_a_set():
    mixer = Built("attention", {"causal": False, "positions": "none"})
    x = normal((2, 33, WIDTH))
    order = np.random.default_rng(0).permutation(33)
    outputs = np.asarray(mixer.call(mixer.params, x))
    permuted = np.asarray(mixer.call(mixer.params, x[:, order]))
    np.testing.assert_allclose(permuted, outputs[:, order], rtol=1e-4, atol=1e-5)
