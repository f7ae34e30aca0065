"""Convolution along the sequence: parallel, with a view that grows by depth."""

import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Bool, Float, Key, State
from seqmodels.errors import require
from seqmodels.layers import Linear
from seqmodels.mixers.base import Cost
from seqmodels.ops.convolution import convolution


class Convolution(nnx.Module):
    """``y = W_o gelu(b + sum_i W_i x_{t - i * dilation})``: a 1-D convolution and a projection.

    The activation and the output projection make it a whole layer by itself, also
    in a model without MLPs. Positions beyond the sequence's ends count as zeros, and
    so do masked ones.

    Args:
      width: the model width D, of inputs and outputs.
      kernel: how many positions one output sees.
      dilation: the distance between those positions.
      causal: whether it sees its own and earlier positions, or (odd kernels only)
        as many on each side.
      rngs: the source of the initial weights.
    """

    def __init__(
        self,
        width: int,
        kernel: int = 7,
        dilation: int = 1,
        causal: bool = True,
        *,
        rngs: nnx.Rngs,
    ):
        require(kernel >= 1, f"kernel={kernel} is below 1")
        require(dilation >= 1, f"dilation={dilation} is below 1")
        require(
            causal or kernel % 2 == 1,
            f"kernel={kernel} has no centre; a centred convolution (causal=False) needs an odd one",
        )
        self.width = width
        self.kernel = kernel
        self.dilation = dilation
        self.causal = causal
        self.rank = 1
        self.stride = 1
        scale = nnx.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")
        self.weights = nnx.Param(scale(rngs.params(), (kernel, width, width)))
        self.bias = nnx.Param(jnp.zeros((width,)))
        self.outputs = Linear(width, width, rngs=rngs)

    @property
    def reach(self) -> int:
        """How many positions back from its last one the kernel extends."""
        return (self.kernel - 1) * self.dilation

    def __call__(
        self,
        x: Float[Array, "B L D"],
        mask: Bool[Array, "B L"] | None = None,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "B L D"]:
        """Convolves whole sequences."""
        del key
        if mask is not None:
            x = jnp.where(mask[:, :, None], x, jnp.zeros((), x.dtype))
        before = self.reach if self.causal else self.reach // 2
        return self._apply(jnp.pad(x, ((0, 0), (before, self.reach - before), (0, 0))))

    def initial_state(self, batch_size: int, max_length: int) -> State:
        """The inputs that the kernel still sees: zeros [B, reach, D]."""
        del max_length
        return jnp.zeros((batch_size, self.reach, self.width), jnp.float32)

    def extend(self, x: Float[Array, "B L D"], state: State) -> tuple[Float[Array, "B L D"], State]:
        """Continues after the inputs kept in the state."""
        seen = jnp.concatenate([state.astype(x.dtype), x], axis=1)
        return self._apply(seen), seen[:, x.shape[1] :].astype(jnp.float32)

    def _apply(self, padded: Float[Array, "B M D"]) -> Float[Array, "B L D"]:
        hidden = convolution(padded, self.weights[...], self.dilation)
        hidden = hidden + self.bias[...].astype(hidden.dtype)[None, None]
        return self.outputs(nnx.gelu(hidden))

    def cost(self, length: int) -> Cost:
        """kernel + 1 products of [D] with [D, D] a position; all positions at once."""
        return Cost(
            flops=length * 2 * (self.kernel + 1) * self.width**2,
            state_bytes=self.reach * self.width * 4 if self.causal else 0,
            sequential_depth=1,
        )
