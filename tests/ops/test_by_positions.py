"""What is said of positions by chunks is what is said of them all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.ops.by_positions import by_positions

V = 5


def of_part(params, part):
    """Each row's sum of weighted errors, and each position's error."""
    x, weights = part
    errors = jnp.sum(jnp.tanh(x @ params["w"]).astype(jnp.float32) ** 2, axis=-1)
    return {"loss": jnp.sum(errors * weights, axis=1)}, errors


def join(first, second):
    return jax.tree.map(jnp.add, first, second)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("length", "size", "dtype"),
    [
        (1, 1, "float32"),
        (7, 100, "float32"),
        (8, 4, "float32"),
        (13, 1, "float32"),
        (101, 100, "float32"),
        (13, 5, "bfloat16"),
    ],
)
def test_chunks_say_what_the_whole_says(length, size, dtype):
    random = np.random.default_rng(length)
    x = jnp.asarray(random.normal(size=(2, length, 4)), dtype)
    params = {"w": jnp.asarray(random.normal(size=(4, V)), dtype)}
    weights = np.float32(random.integers(0, 2, (2, length)))

    def value(params, x, of):
        rows, errors = of(params, (x, weights))
        return jnp.sum(rows["loss"] * jnp.arange(1, 3)), (rows, errors)

    def chunked(params, inputs):
        return by_positions(of_part, join, size, params, inputs)

    @jax.jit
    def both(params, x):
        gradient = jax.grad(value, argnums=(0, 1), has_aux=True)
        return [gradient(params, x, of) for of in (chunked, of_part)]

    found, whole = both(params, x)
    exact = 1e-6 if dtype == "float32" else 0.02  # each chunk's gradient of the weights is rounded
    for one, other in zip(*map(jax.tree.leaves, (found, whole)), strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        one, other = (np.asarray(leaf, np.float64) for leaf in (one, other))
        assert np.linalg.norm(one - other) <= exact * np.linalg.norm(other)
