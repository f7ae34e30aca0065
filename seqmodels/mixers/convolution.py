"""Convolution along a sequence or a grid: parallel, with a view that grows by depth."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Float, State
from seqmodels.errors import require
from seqmodels.layers import Linear
from seqmodels.mixers.base import Context, Cost, Room
from seqmodels.mixers.cache import keep_on
from seqmodels.mixers.extent import ExtentMixer
from seqmodels.ops.convolution import convolution, depthwise_convolution
from seqmodels.parameters import Whole

Activation = Literal["gelu", "relu", "silu", "none"]
_ACTIVATIONS = {"gelu": nnx.gelu, "relu": jax.nn.relu, "silu": jax.nn.silu, "none": lambda x: x}


class Convolution(ExtentMixer):
    """``y = W_o f(b + sum_i W_i x_{t - i * dilation})``: a convolution and a projection.

    The activation f and the output projection make it a whole layer by itself, also
    in a model without MLPs. Positions beyond the ends count as zeros, and so do masked
    ones.

    Args:
      kernel: how many positions one output sees along each axis: one number for a
        sequence, or as many as the grid has axes (up to 3).
      dilation: the distance between those positions.
      causal: whether it sees its own and earlier positions of the first axis, or
        (odd kernels only) as many on each side. It always does on the other axes.
      stride: the distance between the positions that have an output.
      groups: into how many groups the features are cut, each convolved by itself (it
        divides D); None for each feature by itself, which makes the convolution
        depthwise-separable, as the projection mixes features (Chollet 2017).
      gated: whether a gate takes the activation's place, ``a * sigmoid(b)`` with a second
        convolution b (Dauphin et al. 2017). The groups are those of a and b together: with two, a
        is of the first half of the features and b of the second.
      activation: f; "none" leaves it out.
    """

    def __init__(
        self,
        width: int,
        kernel: int | tuple[int, ...] = 7,
        dilation: int = 1,
        causal: bool = True,
        stride: int = 1,
        groups: int | None = 1,
        gated: bool = False,
        activation: Activation = "gelu",
        *,
        rngs: nnx.Rngs,
    ):
        super().__init__(width, kernel, dilation, causal, stride)
        require(
            groups is None or (groups >= 1 and width % groups == 0),
            f"groups={groups} does not divide the width {width}; None is each feature by itself",
        )
        require(
            not gated or activation == "gelu",
            f"activation={activation!r} is never read with gated=True; leave it 'gelu'",
        )
        self.activation: Activation = activation
        self.groups = groups
        self.gated = gated
        scale = nnx.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")
        shape = (*self.extent.kernel, width // (groups or width), width)
        drawn = scale(rngs.params(), (*shape[:-1], width * (2 if gated else 1)))
        weights = Whole(drawn, "weights")
        bias = Whole(jnp.zeros(drawn.shape[-1:]), "bias")
        letters = ("kernel",) * self.rank + ("D" if groups == 1 else "group", "D")
        self.weights = weights.cut(shape, letters, decays=True)
        self.bias = bias.cut((width,), "D", decays=False)
        if gated:
            self.gate_weights = weights.cut(shape, letters, decays=True)
            self.gate_bias = bias.cut((width,), "D", decays=False)
        self.outputs = Linear({"D": width}, {"D": width}, rngs=rngs)

    state_letters = "B W D"

    def mix(
        self, x: Float[Array, "B *L D"], state: State | None, context: Context
    ) -> tuple[Float[Array, "B *M D"], State | None]:
        """Convolves whole sequences or grids, or a chunk after the inputs kept in the state."""
        if state is None:
            if context.valid is not None:
                x = jnp.where(context.valid[..., None], x, jnp.zeros((), x.dtype))
            return self._apply(x, None), None
        (reach,) = self.extent.reach()
        kept = None if isinstance(state, Room) else state
        return self._apply(x, kept), keep_on(kept, x, reach, context.valid)

    def initial_state(self, batch_size: int, room: int) -> State:
        """The inputs that the kernel still sees: zeros [B, reach, D]."""
        return jnp.zeros((batch_size, self.extent.reach()[0], self.width), jnp.float32)

    def _apply(
        self, x: Float[Array, "B *L D"], kept: Float[Array, "B W D"] | None
    ) -> Float[Array, "B *M D"]:
        if not self.gated:
            (hidden,) = self._convolve(x, kept, [self.weights[...]], [self.bias[...]])
            return self.outputs(_ACTIVATIONS[self.activation](hidden))
        kernels = [self.weights[...], self.gate_weights[...]]
        biases = [self.bias[...], self.gate_bias[...]]
        value, gate = self._convolve(x, kept, kernels, biases)
        return self.outputs(value * jax.nn.sigmoid(gate))

    def _convolve(
        self,
        x: Float[Array, "B *L D"],
        kept: Float[Array, "B W D"] | None,
        kernels: list[Float[Array, "*K G D"]],
        biases: list[Float[Array, "D"]],
    ) -> list[Float[Array, "B *M D"]]:
        """By each kernel, with its bias; ``kept`` stands before the first position.

        In groups all outputs are cut as one row: what trained parameters mean hangs on it.
        """
        extent, edges = self.extent, self.extent.edges()
        strides = (extent.dilation, extent.stride)
        if self.groups is None:
            made = [
                depthwise_convolution(x, kernel[..., 0, :], *strides, edges, kept)
                for kernel in kernels
            ]
        else:
            joined = jnp.concatenate(kernels, axis=-1)
            both = convolution(x, joined, *strides, self.groups, edges, kept)
            made = jnp.split(both, len(kernels), axis=-1)
        return [
            y + bias.astype(y.dtype).reshape((1,) * (y.ndim - 1) + bias.shape)
            for y, bias in zip(made, biases, strict=True)
        ]

    def cost(self, length: int | tuple[int, ...]) -> Cost:
        """Products of the kernel and of the projection at each output; all of them at once."""
        inputs = self.width // self.groups if self.groups is not None else 0
        made = self.made(length)
        outputs = self.width * (2 if self.gated else 1)
        products = self.volume * inputs * outputs + self.width**2
        return Cost(flops=made * 2 * products, state_bytes=self.state_bytes(0), sequential_depth=1)
