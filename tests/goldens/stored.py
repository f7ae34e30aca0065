"""Stored values of other people's layers, and the comparison of ours with them."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from seqmodels.mixers.base import Mixer, Room
from tests.goldens.recording import weights


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


class Recorded:
    """A function of several arrays, as recording.py keeps it.

    Attributes:
      inputs: its arguments, by name.
      outputs: what it returns, by name.
      gradients: those of the outputs' weighted sum by the inputs, where there are any.
      settings: numbers that say how it was called.
    """

    def __init__(self, file: str, case: str):
        arrays = stored(file)

        def part(case: str, kind: str) -> dict[str, np.ndarray]:
            prefix = f"{case}/{kind}/"
            return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

        inputs = part(str(arrays.get(f"{case}/inputs_of", case)), "input")
        self.inputs = {name: array.astype(np.float32) for name, array in inputs.items()}
        self.outputs = part(case, "output")
        self.gradients = part(str(arrays.get(f"{case}/gradients_of", case)), "gradient")
        self.settings = part(case, "setting")

    def check(self, run: Callable[..., dict[str, Any]], *apart: str) -> None:
        """Compares what a function of these arguments returns, and its gradients.

        The norm of the difference over the norm is at most 1e-5, that of gradients 1e-4. ``apart``
        are arguments whose gradients aren't compared.
        """

        @jax.jit
        def values(inputs):
            outputs, backward = jax.vjp(lambda inputs: run(**inputs), inputs)
            cotangents = {name: jnp.asarray(weights(out.shape)) for name, out in outputs.items()}
            return outputs, backward(cotangents)[0]

        outputs, gradients = values(self.inputs)
        assert outputs.keys() == self.outputs.keys()
        for name, array in self.outputs.items():
            assert distance(outputs[name], array) < 1e-5, name
        for name in self.gradients.keys() - set(apart):
            array = self.gradients[name]
            assert distance(gradients[name], array) < 1e-4, f"gradient by {name}"

    def check_mixer(
        self,
        make: Callable[[], Mixer],
        parameters: Callable[[dict[str, Any]], dict[str, Any]],
        states: Callable[[Any], dict[str, Any]] = lambda state: {},
        *apart: str,
    ) -> None:
        """Compares a mixer of theirs, whose inputs are x and parameters, with one of ours.

        Args:
          make: makes ours.
          parameters: ours, made of theirs by their names.
          states: of our last state what is kept of theirs, by its name.
          apart: as of ``check``.
        """
        graph, own = nnx.split(nnx.eval_shape(make), nnx.Param)
        shapes = jax.tree.map(lambda leaf: leaf.shape, nnx.to_pure_dict(own))

        def run(x, **theirs):
            ours = parameters(theirs)
            assert jax.tree.map(jnp.shape, ours) == shapes
            mixer = nnx.merge(graph, ours)
            out, state = mixer.mix(x, Room(x.shape[1]), mixer.context(x))
            return {"out": out, **states(state)}

        self.check(run, *apart)


def distance(ours: Any, theirs: np.ndarray) -> float:
    """The norm of the difference over the norm."""
    assert ours.shape == theirs.shape
    return float(np.linalg.norm(np.ravel(ours - theirs)) / np.linalg.norm(np.ravel(theirs)))


class Initial:
    """What a parameter begins with, by several seeds of somebody else's layer."""

    def __init__(self, file: str, name: str):
        arrays = stored(file)
        self.always = arrays.get(f"{name}/always")
        self.sorted, self.moments = arrays.get(f"{name}/sorted"), arrays.get(f"{name}/moments")

    def check(self, ours: Any) -> None:
        """Compares our values, one seed after another, with theirs: equal where theirs don't vary.

        Else the two-sample Kolmogorov-Smirnov distance is below what chance exceeds once in a
        million, given theirs at 64 of their quantiles, and so is the difference of deviations.
        """
        ours = np.asarray(ours, np.float64)
        if self.always is not None:
            theirs = np.broadcast_to(np.sort(np.ravel(self.always)), (len(ours), ours[0].size))
            ours = np.sort(ours.reshape(len(ours), -1), axis=1)
            rounding = 1e-6 * max(1.0, np.abs(theirs).max())  # eigenvalues are as exact as that
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=rounding)
            return
        assert self.sorted is not None
        assert self.moments is not None
        ours = np.sort(ours, axis=None)
        number, _, deviation = self.moments
        share = 1 / len(ours) + 1 / number
        levels = np.linspace(0, 1, len(self.sorted))
        below = np.searchsorted(ours, self.sorted, side="right") / len(ours)
        largest = np.sqrt(-0.5 * np.log(0.5e-6) * share) + 1 / len(levels)
        assert np.abs(below - levels).max() < largest
        assert abs(ours.std() - deviation) < 5 * deviation * np.sqrt(share)
