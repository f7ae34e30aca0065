"""The layers around a mixer: projections, norms, MLPs, embeddings and dropout."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from seqmodels.arrays import AnyArray, Array, Float, Int, Key
from seqmodels.errors import ConfigError, require, require_least, require_with
from seqmodels.ops.grids import patches
from seqmodels.ops.linear import linear
from seqmodels.ops.parts import parts
from seqmodels.ops.positions import sinusoidal
from seqmodels.parameters import About, Whole, parameter
from seqmodels.placement import placed
from seqmodels.remat import named

NormKind = Literal["layer", "rms", "none"]
MLPKind = Literal["gelu", "gated", "none"]
PositionKind = Literal["none", "learned", "sinusoidal"]
Axes = dict[str, int]
"""Names of axes (:data:`seqmodels.parameters.AXES`) and their sizes."""
WIDEST = 2**20
"""Features of a model at most."""


class Linear(nnx.Module):
    """``x @ weights + bias`` over the last axes of x, with truncated-normal weights.

    ``Linear({"H": 4, "K": 8}, {"D": 32}, rngs=rngs)`` makes [*B, D] of [*B, H, K].

    Args:
      inputs: the axes that are projected, and their sizes; the weights' variance is 1 / their
        product.
      outputs: those that they become.
      whole: the weights and the biases that these are cut from, where :func:`linears` has drawn
        them; None draws them.
    """

    def __init__(
        self,
        inputs: Axes,
        outputs: Axes,
        *,
        rngs: nnx.Rngs,
        whole: tuple[Whole, Whole] | None = None,
    ):
        weights, bias = whole or _draw(inputs, math.prod(outputs.values()), rngs)
        shape = (*inputs.values(), *outputs.values())
        self.weights = weights.cut(shape, (*inputs, *outputs), decays=True)
        self.bias = bias.cut(shape[len(inputs) :], (*outputs,), decays=False)

    def __call__(self, x: Float[AnyArray, "..."], name: str = "projections") -> Float[Array, "..."]:
        """Projects the last axes, as many as there are inputs; ``remat`` knows it by the name."""
        weights, bias = self.weights[...], self.bias[...]
        inputs = weights.ndim - bias.ndim
        if parts("model") > 1:  # flattened, [gates, E] would not be split by E any more
            y = jnp.tensordot(jnp.asarray(x), weights.astype(x.dtype), inputs)
            y = y + bias.astype(x.dtype).reshape(*[1] * (x.ndim - inputs), *bias.shape)
            return named(y, name)
        kept = x.shape[: x.ndim - inputs]
        flat = weights.reshape(-1, math.prod(bias.shape))
        y = linear(x.reshape(*kept, flat.shape[0]), flat, bias.reshape(-1))
        return named(y.reshape(*kept, *bias.shape), name)


def linears(inputs: Axes, several: Sequence[Axes], was: str, *, rngs: nnx.Rngs) -> list[Linear]:
    """Projections of the same axes to several others, drawn as one, whose name once was ``was``."""
    whole = _draw(inputs, sum(math.prod(o.values()) for o in several), rngs, f"{was}/")
    return [Linear(inputs, outputs, rngs=rngs, whole=whole) for outputs in several]


def _draw(inputs: Axes, outputs: int, rngs: nnx.Rngs, prefix: str = "") -> tuple[Whole, Whole]:
    """Weights and biases of so many outputs."""
    weights = nnx.initializers.lecun_normal()(rngs.params(), (math.prod(inputs.values()), outputs))
    return Whole(weights, f"{prefix}weights"), Whole(jnp.zeros((outputs,)), f"{prefix}bias")


class Norm(nnx.Module):
    """Layer normalisation (Ba et al. 2016), RMS normalisation (Zhang and Sennrich 2019), or none.

    Statistics are taken in float32; the result has the dtype of x. The variance is the mean of
    ``(x - mean)^2``, and the mean is taken twice, since the first one's rounding is as large as a
    deviation where the mean is a million deviations.

    ``letter`` names the axis that is normalised.
    """

    def __init__(self, width: int, kind: NormKind, letter: str = "D", *, rngs: nnx.Rngs):
        self.centred = kind == "layer"
        said: Any = {"about": About((letter,), decays=False)}
        exact: Any = {"use_fast_variance": False, "scale_metadata": said}
        norm = None
        if kind == "layer":
            norm = nnx.LayerNorm(width, **exact, bias_metadata=said, rngs=rngs)
        elif kind == "rms":
            norm = nnx.RMSNorm(width, **exact, rngs=rngs)
        self.norm = norm

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        if self.norm is None:
            return x
        exact = x.astype(jnp.float32)
        if self.centred:
            exact = exact - jnp.mean(exact, axis=-1, keepdims=True)
        return self.norm(exact).astype(x.dtype)


class MLP(nnx.Module):
    """A layer on each position: ``W_2 gelu(W_1 x)``, or gated, ``W_2 (gelu(W_1 x) * W_3 x)``.

    The gated form is GEGLU (Shazeer 2020); at the same F it has half as many
    parameters again.
    """

    def __init__(self, width: int, hidden: int, kind: MLPKind, *, rngs: nnx.Rngs):
        axes = [{"F": hidden}] * (2 if kind == "gated" else 1)
        *gate, self.inputs = linears({"D": width}, axes, "inputs", rngs=rngs)
        self.gate = gate[0] if gate else None
        self.outputs = Linear({"F": hidden}, {"D": width}, rngs=rngs)

    def __call__(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        hidden = self.inputs(x, "mlp_hidden")
        if self.gate is None:
            return self.outputs(nnx.gelu(hidden))
        return self.outputs(nnx.gelu(self.gate(x, "mlp_hidden")) * hidden)


class Embedding(nnx.Module):
    """Tokens by a table, or features by a projection, plus positions, in the compute dtype.

    Args:
      kind: "tokens" (integers below size) or "features" (vectors of that size).
      size: the vocabulary V or the number of features.
      positions: what is added: nothing, a learned vector for each position below
        max_length (on a grid, row after row), or sinusoids (on a grid, an equal share of the
        features for each axis).
      max_length: the number of learned positions; None otherwise.
      dtype: the compute dtype, which every later layer follows.
      patch: how many positions of each axis of a grid make one; 1 keeps them.
      rank: how many axes the positions have.

    Raises:
      ParameterError: settings that don't go together, by the names of a model's arguments.
    """

    def __init__(
        self,
        kind: Literal["tokens", "features"],
        size: int,
        width: int,
        positions: PositionKind,
        max_length: int | None,
        dtype: jnp.dtype,
        patch: int = 1,
        rank: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        require_least(1, width=width, max_length=max_length)
        require(width <= WIDEST, f"width={width} is above {WIDEST:,}; lower it")
        require_with(max_length, positions == "learned", "max_length", f"positions={positions!r}")
        require(
            positions != "sinusoidal" or width % (2 * rank) == 0,
            f"width={width} is odd; positions='sinusoidal' needs pairs of features"
            if rank == 1
            else f"width={width}: positions='sinusoidal' needs a multiple of {2 * rank} on {rank} "
            "axes",
        )
        self.kind = kind
        self.width = width
        self.positions = positions
        self.max_length = max_length
        self.dtype = dtype
        self.patch = patch
        if kind == "tokens":
            table = nnx.initializers.normal(1.0)(rngs.params(), (size, width))
            self.table = parameter(table, "VD", decays=True)
        else:
            self.features = Linear({"features": size * patch**rank}, {"D": width}, rngs=rngs)
        if positions == "learned":
            vectors = nnx.initializers.normal(0.1)(rngs.params(), (max_length, width))
            self.learned = parameter(vectors, ("positions", "D"), decays=True)

    def __call__(
        self, inputs: AnyArray, positions: Int[Array, "#B L"] | None = None
    ) -> Float[Array, "B *L D"]:
        """Embeds tokens [B, *L] or features [B, *L, size].

        Positions are counted from 0 along each axis, unless those of a sequence are given. Raises
        ConfigError where learned ones end before the inputs do.
        """
        if self.kind == "tokens":
            # Rows are looked up in a table that is split by tokens alone.
            x = placed(self.table[...], "V D")[inputs]
        else:
            x = self.features(patches(inputs, self.patch) if self.patch > 1 else inputs)
        axes = x.shape[1:-1]
        if self.positions == "learned":
            if positions is None:
                self.check_length(math.prod(axes))  # or the last one would serve all beyond
                positions = jnp.arange(math.prod(axes)).reshape(1, *axes)
            # Padding may lie past the last one.
            learned = placed(self.learned[...], "positions D")
            x = x + learned[jnp.minimum(positions, len(learned) - 1)]
        elif self.positions == "sinusoidal" and positions is not None:
            x = x + sinusoidal(positions, self.width)
        elif self.positions == "sinusoidal":
            share = self.width // len(axes)
            along = [
                sinusoidal(jnp.arange(length)[None], share).reshape(
                    1, *(length if i == axis else 1 for i in range(len(axes))), share
                )
                for axis, length in enumerate(axes)
            ]
            shapes = [(1, *axes, share)] * len(axes)
            x = x + jnp.concatenate(list(map(jnp.broadcast_to, along, shapes)), axis=-1)
        return x.astype(self.dtype)

    def scores(self, x: Float[Array, "*B D"], count: int) -> Float[Array, "*B V"]:
        """``x . e_v / sqrt(D)`` for the first tokens v, whose vectors e_v the table has.

        So a head is tied to the table (Press and Wolf 2017); scaled as in Raffel et al. 2020, so
        that scores begin with the variance that those of another head have.
        """
        return linear(x, self.table[...][:count].T / math.sqrt(self.width))

    def check_length(self, length: int) -> None:
        """Raises ConfigError where learned positions end before a number of positions."""
        if self.max_length is not None and length > self.max_length:
            raise ConfigError(
                f"model.max_length={self.max_length} is below the length {length} that is asked "
                "for; learned positions end there"
            )


def dropout(
    x: Float[Array, "*B D"], rate: float, key: Key[Array, ""] | None
) -> Float[Array, "*B D"]:
    """Zeroes features at a rate in [0, 1) and scales the rest up; does nothing without a key.

    A random word serves four features, because words cost most of the time: each reads it turned
    by a byte more. A feature is dropped with that very probability, to within 2^-32; two of a word
    are correlated by less than 1% at rates that train.
    """
    if key is None or rate == 0:
        return x
    *leading, width = x.shape
    words = jax.random.bits(key, (*leading, -(-width // 4), 1), jnp.uint32)
    left = np.array([24, 16, 8, 0], np.uint32).reshape(*[1] * x.ndim, 4)
    turned = (words << left) | (words >> (32 - left) % 32)  # [B, L, D/4, 4]
    turned = turned.reshape(*leading, -1)[..., :width]
    dropped = turned < np.uint32(min(round(rate * 2**32), 2**32 - 1))
    scaled = (x.astype(jnp.float32) / (1 - rate)).astype(x.dtype)
    return jnp.where(dropped, jnp.zeros((), x.dtype), scaled)
