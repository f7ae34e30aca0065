"""Scan orders, window means and patches, against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.ops.grids import average_windows, grid_to_sequence, patches, sequence_to_grid
from seqmodels.stack import pool

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("axes", [(5,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("order", ["rows", "columns"])
def test_a_grid_read_as_a_sequence_comes_back(axes, order):
    x = RANDOM.normal(size=(2, *axes, 3)).astype(np.float32)

    @jax.jit
    def there_and_back(x):
        sequence = grid_to_sequence(x, order)
        return sequence, sequence_to_grid(sequence, axes, order)

    sequence, back = there_and_back(x)
    assert sequence.shape == (2, np.prod(axes), 3)
    np.testing.assert_array_equal(back, x)


def test_columns_follow_one_another():
    x = RANDOM.normal(size=(1, 3, 4, 2)).astype(np.float32)
    sequence = jax.jit(grid_to_sequence, static_argnums=1)(x, "columns")
    np.testing.assert_array_equal(sequence[0, :3], x[0, :, 0])
    np.testing.assert_array_equal(sequence[0, 3:6], x[0, :, 1])


@pytest.mark.parametrize("axes", [(7,), (4, 5), (2, 3, 4)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_windows_are_averaged_over_what_is_real(axes, stride):
    x = RANDOM.normal(size=(2, *axes, 3)).astype(np.float32)
    mask = RANDOM.random((2, *axes)) < 0.5
    both = jax.jit(lambda x, mask: [average_windows(x, real, stride) for real in (None, mask)])
    for real, (mean, coarse) in zip((None, mask), both(x, mask), strict=True):
        mean = np.asarray(mean)
        used = np.ones((2, *axes), bool) if real is None else real
        assert mean.shape[1:-1] == tuple(-(-n // stride) for n in axes)
        for place in np.ndindex(*mean.shape[:-1]):
            window = (place[0], *(slice(i * stride, (i + 1) * stride) for i in place[1:]))
            values = x[window][used[window]]
            expected = values.mean(0) if len(values) else np.zeros(3)
            np.testing.assert_allclose(mean[place], expected, rtol=1e-5, atol=1e-6)
            if real is not None:
                assert bool(np.asarray(coarse)[place]) == bool(len(values))
        assert (coarse is None) == (real is None)


def test_means_of_many_positions_in_bfloat16():
    """To one rounding, whatever the count: bfloat16 itself knows neither 257 nor 1,028."""
    x = jnp.asarray(1 + np.random.default_rng(0).random((2, 1100, 3)), jnp.bfloat16)
    mask = np.arange(1100)[None] < np.array([[257], [1028]])

    @jax.jit
    def means(x, mask):
        return pool(x, mask, "mean"), average_windows(x, mask, 1100)[0][:, 0]

    values = np.asarray(x, np.float64)
    expected = np.stack([values[0, :257].mean(0), values[1, :1028].mean(0)]).astype(jnp.bfloat16)
    for found in means(x, mask):
        assert found.dtype == jnp.bfloat16
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("axes", "size"), [((6,), 2), ((4, 6), 2), ((6, 3), 3), ((2, 4, 2), 2)])
def test_patches_hold_the_features_of_their_window(axes, size):
    x = RANDOM.normal(size=(2, *axes, 3)).astype(np.float32)
    cut = np.asarray(jax.jit(patches, static_argnums=1)(x, size))
    assert cut.shape == (2, *(n // size for n in axes), 3 * size ** len(axes))
    for place in np.ndindex(*cut.shape[:-1]):
        window = (place[0], *(slice(i * size, (i + 1) * size) for i in place[1:]))
        np.testing.assert_array_equal(cut[place], x[window].reshape(-1))
