"""Local attention in place of a convolution: the same extent, on sequences and grids."""

from typing import Any

import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Bool, Float, Key, State
from seqmodels.errors import require
from seqmodels.layers import Linear, linears
from seqmodels.mixers.base import Cost
from seqmodels.mixers.extent import ExtentMixer
from seqmodels.ops.attention.neighbourhood import Neighbourhood, neighbourhood_attention
from seqmodels.ops.positions import sinusoidal
from seqmodels.parameters import Whole

MOST_KEYS = 2**16
"""Keys of a query at most: each offset has a vector of its own."""


class LocalAttention(ExtentMixer):
    """Stand-alone self-attention of each position to its neighbours (Ramachandran et al. 2019).

    A drop-in for :class:`~seqmodels.mixers.convolution.Convolution`: kernel, dilation,
    causal and stride mean the same. Keys know where they lie from the query: the vector
    r_o of an offset o is a learned projection of its sinusoids along each axis (Dai
    et al. 2019), so the number of parameters does not grow with the kernel. Positions beyond
    the ends, and masked ones, are not seen.

    Args:
      width: the model width D.
      kernel: how many positions one output sees along each axis: one number for a
        sequence, or as many as the grid has axes (up to 3).
      dilation: the distance between those positions.
      causal: whether it sees its own and earlier positions of the first axis, or
        (odd kernels only) as many on each side. It always does on the other axes.
      stride: the distance between the positions that have an output.
      heads: the number of heads H, which divides D; each has width K = D / H.
      rngs: the source of the initial weights.
    """

    def __init__(
        self,
        width: int,
        kernel: int | tuple[int, ...] = 7,
        dilation: int = 1,
        causal: bool = True,
        stride: int = 1,
        heads: int = 4,
        *,
        rngs: nnx.Rngs,
    ):
        super().__init__(width, kernel, dilation, causal, stride)
        require(
            self.volume <= MOST_KEYS,
            f"kernel={kernel} has {self.volume:,} keys for each query, above {MOST_KEYS:,}; take "
            "attention with a window",
        )
        require(heads >= 1, f"heads={heads} is below 1")
        require(width % heads == 0, f"heads={heads} does not divide the width {width}")
        self.heads = heads
        D, H, K = width, heads, width // heads
        several = [{"H": H, "K": K}, {"H": H, "K": K}, {"H": H, "U": K}]
        self.queries, self.keys, self.values = linears({"D": D}, several, "inputs", rngs=rngs)
        self.outputs = Linear({"H": H, "U": K}, {"D": D}, rngs=rngs)
        features = self._features.shape[1]
        offsets = nnx.initializers.lecun_normal()(rngs.params(), (features, width))
        self.offsets = Whole(offsets, "offsets").cut(
            (features, H, K), ("features", "H", "K"), decays=True
        )

    @property
    def _features(self) -> Float[Array, "O F"]:
        """The sinusoids of each offset along each axis, side by side."""
        share = max(2, self.width // self.rank // 2 * 2)
        offsets = jnp.array(self.extent.offsets())  # [O, axes]
        return jnp.concatenate([sinusoidal(axis, share) for axis in offsets.T], axis=-1)

    def __call__(
        self,
        x: Float[Array, "B *L D"],
        mask: Bool[Array, "B *L"] | None = None,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "B *M D"]:
        """Attends within whole sequences or grids."""
        del key
        query, keys, values = self.queries(x), self.keys(x), self.values(x)
        query = query[(slice(None), *(slice(None, None, self.stride),) * self.rank)]
        return self._attend(query, keys, values, mask, self.extent.edges())

    def initial_state(self, batch_size: int, max_length: int) -> State:
        """The keys and values that the kernel still sees, and how many there have been."""
        del max_length
        reach = self.extent.reach()[0]
        shape = (batch_size, reach, self.heads, self.width // self.heads)
        return {
            "keys": jnp.zeros(shape, jnp.float32),
            "values": jnp.zeros(shape, jnp.float32),
            "length": jnp.zeros((batch_size,), jnp.int32),
        }

    def extend(self, x: Float[Array, "B L D"], state: State) -> tuple[Float[Array, "B L D"], State]:
        """Attends from a chunk to what the state keeps and to the chunk itself."""
        cache: dict[str, Any] = state
        query, keys, values = self.queries(x), self.keys(x), self.values(x)
        reach, length = self.extent.reach()[0], x.shape[1]
        keys, values = (
            jnp.concatenate([cache[name].astype(new.dtype), new], axis=1)
            for name, new in (("keys", keys), ("values", values))
        )
        # The cache is filled from its end: slots that nothing has reached yet are masked.
        seen = jnp.arange(reach + length)[None] >= reach - cache["length"][:, None]
        mixed = self._attend(query, keys, values, seen, ((0, 0),))  # the cache is the edge
        kept = lambda y: y[:, length:].astype(jnp.float32)  # noqa: E731
        state = {"keys": kept(keys), "values": kept(values), "length": cache["length"] + length}
        return mixed, state

    def _attend(self, query, keys, values, mask, edges) -> Float[Array, "B *M D"]:
        offsets = self.offsets[...]
        relative = self._features @ offsets.reshape(offsets.shape[0], self.width)  # [O, D]
        relative = relative.reshape(-1, *offsets.shape[1:])  # [O, H, K]
        around = Neighbourhood(self.extent.kernel, self.extent.dilation, edges, self.stride)
        mask = None if mask is None else jnp.asarray(mask)
        mixed = neighbourhood_attention(query, keys, values, relative, mask, around)
        return self.outputs(mixed)

    def cost(self, length: int) -> Cost:
        """Four projections; scores and sums over the kernel at each output.

        The scores are sums of products and no matrix products, but as many operations.
        """
        made = self.made(length)
        reach = self.extent.reach()[0]
        return Cost(
            flops=(length * 6 + made * 2) * self.width**2 + made * self.volume * 4 * self.width,
            state_bytes=2 * reach * self.width * 4 if self.causal else 0,
            sequential_depth=1,
        )
