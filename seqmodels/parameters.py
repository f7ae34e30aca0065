"""What parameters say of themselves, where they are made; others follow from that alone.

What is multiplied with what comes in decays: projections, kernels; and so do tables of vectors, of
tokens and of positions. What is added, or scales feature by feature, does not: biases, of however
many axes; the scales of norms; the vector of an additive score. Nor do decays, steps and poles.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
from flax import nnx

from seqmodels.arrays import Array

AXES = {*"DHKUGNWCFVEL", "gates", "kernel", "group", "features", "positions", "directions"}
AXES |= {"parts", "rank"}
"""What an axis of a parameter may be called: a letter of :mod:`seqmodels.arrays`, or a word.
``parts`` are the real and the imaginary one."""
OUTSIDE = {"V", "L", "features", "positions", "parts"}
"""Axes of what is no matrix between features: of tables, filters and complex numbers, and of what
comes from outside."""


class Matrix(NamedTuple):
    """A parameter as a matrix, or as many as the axes in neither have places."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Part(NamedTuple):
    """Where a parameter lies in checkpoints made before each of its letters was an axis."""

    name: str
    """What the whole was called, in the place of as many last names of the parameter's path."""
    shape: tuple[int, ...]
    """The whole's."""
    start: int
    """Where the part begins along the last axis."""


@dataclass(frozen=True)
class About:
    """What one parameter says of itself.

    Raises:
      ValueError: an axis has a name that none has, or the rate can't be.
    """

    letters: tuple[str, ...]
    """What each of its axes is, of AXES."""
    decays: bool
    """Whether weight decay pulls it towards 0."""
    rate: float = 1.0
    """Its share of the learning rate."""
    was: Part | None = None
    """Where it lies in older checkpoints; None where it lies there as it is."""
    divisible: bool = True
    """Whether devices may share its heads and features (:mod:`seqmodels.placement`)."""

    def __post_init__(self):
        if not AXES.issuperset(self.letters):
            raise ValueError(f"letters={self.letters!r}; known: {', '.join(sorted(AXES))}")
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise ValueError(f"rate={self.rate} is not above 0")

    @property
    def matrix(self) -> "Matrix | None":
        """The axes that it multiplies, by their numbers, and those that it makes of them; None
        where it is no matrix between features inside of a model.

        ``[D, H, K]`` is D × (H·K), a kernel ``[kernel, D, D]`` is (kernel·D) × D, and
        ``[H, K, gates, K]`` a matrix K × (gates·K) for each of H heads. What turns something else
        into features or features into something else, V, ``features`` or positions, is none.

        >>> About(("D", "gates", "D"), decays=True).matrix
        Matrix(inputs=(0,), outputs=(1, 2))
        """
        letters, axes = self.letters, tuple(range(len(self.letters)))
        kernels = "kernel" in letters and letters.count("D") < 2  # feature by feature
        if not self.decays or len(axes) < 2 or kernels or OUTSIDE.intersection(letters):
            return None
        if letters[0] != "D" and letters[-1] == "D":
            return Matrix(axes[:-1], axes[-1:])
        first = 1 if letters[0] == "H" and len(axes) > 2 else 0
        return Matrix(axes[first : first + 1], axes[first + 1 :])


def parameter(
    value: Array,
    letters: Sequence[str],
    *,
    decays: bool,
    rate: float = 1.0,
    was: Part | None = None,
) -> nnx.Param:
    """A parameter with its initial value, and what it says of itself (:class:`About`)."""
    if len(letters) != value.ndim:
        raise ValueError(f"letters={letters!r}; {value.shape} has {value.ndim} axes")
    return nnx.Param(value, about=About(tuple(letters), decays, rate, was))


class Whole:
    """An array that is drawn as one, as seeds have always had it, and cut into parameters.

    Args:
      value: the array, which is cut along its last axis.
      name: what it is called in older checkpoints, in the place of as many last names of a part's
        path: "inputs/weights".
    """

    def __init__(self, value: Array, name: str):
        self._value, self._name, self._start = value, name, 0

    def cut(self, shape: tuple[int, ...], letters: Sequence[str], *, decays: bool) -> nnx.Param:
        """The next part, in the shape of its own axes."""
        start = self._start
        self._start += math.prod(shape) // math.prod(self._value.shape[:-1])
        part = self._value[..., start : self._start].reshape(shape)
        whole = self._value.shape
        was = Part(self._name, whole, start) if shape != whole else None
        return parameter(part, letters, decays=decays, was=was)


def count_parameters(make: Callable[[nnx.Rngs], nnx.Module]) -> int:
    """How many parameters a module has; none is drawn."""
    state = nnx.state(nnx.eval_shape(lambda: make(nnx.Rngs(0))), nnx.Param)
    return sum(leaf.size for leaf in jax.tree.leaves(state))


def declared(module: nnx.Module) -> dict[str, Any]:
    """What each of a module's parameters says of itself, in their tree.

    Raises:
      TypeError: one says nothing.
    """
    return nnx.to_pure_dict(nnx.state(module, nnx.Param), _said)


def keep_whole(module: nnx.Module) -> None:
    """Has no device share the heads and features of a module's parameters."""
    for _, node in nnx.iter_graph(module):
        if isinstance(node, nnx.Param):
            node.set_metadata(about=replace(_said(node), divisible=False))


def _said(param: nnx.Variable) -> About:
    said = param.get_metadata("about", None)
    if said is None:
        raise TypeError(
            f"{param} says nothing of itself; make it by seqmodels.parameters.parameter"
        )
    return said
