"""The block of a temporal convolutional network: two convolutions of one dilation."""

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Bool, Float, State
from seqmodels.errors import require
from seqmodels.mixers.base import Context, Cost, Room
from seqmodels.mixers.cache import keep_on
from seqmodels.mixers.extent import ExtentMixer
from seqmodels.ops.convolution import convolution
from seqmodels.parameters import parameter


class TemporalBlock(ExtentMixer):
    """``y = relu(b_2 + W_2 * relu(b_1 + W_1 * x))``: a level of a TCN (Bai et al. 2018, figure 1).

    ``*`` is a convolution along the sequence; both have one kernel and one dilation, so that a
    block sees twice as far back as one convolution. Positions beyond the ends count as zeros, of
    the hidden features too, and so do masked ones. Without the paper's weight normalisation, in
    whose place stands the block's norm, and without its relu after the residual connection;
    dropout is the block's. Kernels and biases begin as those of the paper's code do, uniform up to
    1 / sqrt(kernel * width): a level then adds a sixth of what comes in, and eight of them hand it
    on. (Of the standard deviation 0.01 that the code sets, its weight normalisation keeps nothing.)

    Args:
      kernel: how many positions each convolution sees.
      dilation: the distance between those positions.
      causal: whether it sees its own and earlier positions, or (odd kernels only) as many on each
        side.
    """

    def __init__(
        self,
        width: int,
        kernel: int = 3,
        dilation: int = 1,
        causal: bool = True,
        *,
        rngs: nnx.Rngs,
    ):
        super().__init__(width, kernel, dilation, causal, stride=1)
        require(self.rank == 1, f"kernel={kernel} is of a grid; a temporal block takes one number")
        bound = (kernel * width) ** -0.5

        def draw(*shape: int) -> Array:
            return jax.random.uniform(rngs.params(), shape, minval=-bound, maxval=bound)

        shape, letters = (kernel, width, width), ("kernel", "D", "D")
        self.first = parameter(draw(*shape), letters, decays=True)
        self.first_bias = parameter(draw(width), "D", decays=False)
        self.second = parameter(draw(*shape), letters, decays=True)
        self.second_bias = parameter(draw(width), "D", decays=False)

    state_letters = ("B W D", "B W D")

    def mix(
        self, x: Float[Array, "B L D"], state: State | None, context: Context
    ) -> tuple[Float[Array, "B L D"], State | None]:
        """Convolves whole sequences, or a chunk after the inputs and hidden features kept."""
        if state is None:
            x = _real(x, context.valid)
            hidden = _real(self._level(x, None, self.first, self.first_bias), context.valid)
            return self._level(hidden, None, self.second, self.second_bias), None
        inputs, hidden = (None, None) if isinstance(state, Room) else state
        (reach,) = self.extent.reach()
        made = self._level(x, inputs, self.first, self.first_bias)
        y = self._level(made, hidden, self.second, self.second_bias)
        read = ((inputs, x), (hidden, made))
        return y, tuple(keep_on(kept, new, reach, context.valid) for kept, new in read)

    def initial_state(self, batch_size: int, room: int) -> State:
        """What both kernels still see of inputs and hidden features: zeros [B, reach, D] each."""
        zeros = jnp.zeros((batch_size, self.extent.reach()[0], self.width), jnp.float32)
        return zeros, zeros

    def _level(
        self,
        x: Float[Array, "B L D"],
        kept: Float[Array, "B W D"] | None,
        kernel: nnx.Param,
        bias: nnx.Param,
    ) -> Float[Array, "B L D"]:
        extent = self.extent
        made = convolution(x, kernel[...], extent.dilation, edges=extent.edges(), kept=kept)
        return jax.nn.relu(made + bias[...].astype(made.dtype)[None, None])

    def cost(self, length: int | tuple[int, ...]) -> Cost:
        """Products of two kernels at each position; all positions at once, twice."""
        products = 2 * self.volume * self.width**2
        flops = self.made(length) * 2 * products
        return Cost(flops=flops, state_bytes=self.state_bytes(0), sequential_depth=2)


def _real(x: Float[Array, "B L D"], valid: Bool[Array, "B L"] | None) -> Float[Array, "B L D"]:
    """Zeros where a position is padding."""
    return x if valid is None else jnp.where(valid[..., None], x, jnp.zeros((), x.dtype))
