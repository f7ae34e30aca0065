"""Stored values of other people's layers, and the comparison of ours with them."""

from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx


@cache
def stored(file: str) -> dict[str, np.ndarray]:
    """Everything in a file."""
    with np.load(Path(__file__).with_name(f"{file}.npz")) as data:
        return dict(data)


def by_heads(linear: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """A linear layer's outputs as the features of so many heads."""
    return {name: array.reshape(*array.shape[:-1], count, -1) for name, array in linear.items()}


class Stored:
    """One case: its arrays by name, and its state dict."""

    def __init__(self, file: str, name: str):
        arrays = {
            key.removeprefix(f"{name}/"): value
            for key, value in stored(file).items()
            if key.startswith(f"{name}/")
        }
        self.x, self.out, self.weights, self.d_x = (
            arrays[k] for k in ("x", "out", "weights", "d_x")
        )
        self.state = {
            k.removeprefix("state/"): v for k, v in arrays.items() if k.startswith("state/")
        }

    def linear(self, name: str) -> dict[str, np.ndarray]:
        """A linear layer."""
        return {"weights": self.state[f"{name}.weight"].T, "bias": self.state[f"{name}.bias"]}

    def heads(self, name: str, count: int) -> dict[str, np.ndarray]:
        """A linear layer to the features of so many heads."""
        return by_heads(self.linear(name), count)

    def joined(self, name: str, count: int) -> dict[str, np.ndarray]:
        """A linear layer from the features of so many heads."""
        linear = self.linear(name)
        weights = linear["weights"].reshape(count, -1, linear["weights"].shape[1])
        return {"weights": weights, "bias": linear["bias"]}

    def check(self, make, params: dict[str, Any], call) -> None:
        """Compares the outputs, and the gradient with respect to the inputs."""
        graph, own = nnx.split(nnx.eval_shape(make), nnx.Param)
        shapes = jax.tree.map(lambda leaf: leaf.shape, nnx.to_pure_dict(own))
        assert jax.tree.map(np.shape, params) == shapes

        @jax.jit
        def run(params, x):
            out, backward = jax.vjp(lambda x: call(nnx.merge(graph, params), x), x)
            return out, backward(jnp.asarray(self.weights))[0]

        self.compare(*run(params, jnp.asarray(self.x)))

    def compare(self, out, d_x) -> None:
        """Within float32's rounding."""
        np.testing.assert_allclose(out, self.out, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(d_x, self.d_x, rtol=1e-4, atol=1e-5)
