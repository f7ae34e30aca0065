"""Attention among neighbours in place of a convolution: the same extent, sequences and grids."""

import math
from typing import Any

import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Float, State
from seqmodels.errors import require
from seqmodels.layers import Linear, linears
from seqmodels.mixers.base import Context, Cost, Room, features_of_a_head
from seqmodels.mixers.cache import Seen, begin_cache, extend_cache
from seqmodels.mixers.extent import ExtentMixer
from seqmodels.mixers.short_convolution import Short, ShortConvolutions
from seqmodels.ops.attention.neighbourhood import Neighbourhood, neighbourhood_attention
from seqmodels.ops.positions import sinusoidal
from seqmodels.parameters import Whole

MOST_KEYS = 2**16
"""Keys of a query at most: each offset has a vector of its own."""


class NeighbourhoodAttention(ExtentMixer):
    """Stand-alone self-attention of each position to its neighbours (Ramachandran et al. 2019).

    A drop-in for :class:`~seqmodels.mixers.convolution.Convolution`: kernel, dilation,
    causal and stride mean the same. Keys know where they lie from the query: the vector
    r_o of an offset o is a learned projection of its sinusoids along each axis (Dai
    et al. 2019), so the number of parameters does not grow with the kernel. Positions beyond
    the ends, and masked ones, are not seen.

    Args:
      heads: the number of heads H, which divides D; each has width K = D / H.
      short: the block's short convolution, of queries, keys and values; on a sequence alone.
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
        short: Short | None = None,
        rngs: nnx.Rngs,
    ):
        super().__init__(width, kernel, dilation, causal, stride)
        require(
            self.volume <= MOST_KEYS,
            f"kernel={kernel} has {self.volume:,} keys for each query, above {MOST_KEYS:,}; take "
            "attention with a window",
        )
        self.heads = heads
        D, H, K = width, heads, features_of_a_head(width, heads)
        several = [{"H": H, "K": K}, {"H": H, "K": K}, {"H": H, "U": K}]
        self.queries, self.keys, self.values = linears({"D": D}, several, "inputs", rngs=rngs)
        self.outputs = Linear({"H": H, "U": K}, {"D": D}, rngs=rngs)
        features = self._features.shape[1]
        offsets = nnx.initializers.lecun_normal()(rngs.params(), (features, width))
        self.offsets = Whole(offsets, "offsets").cut(
            (features, H, K), ("features", "H", "K"), decays=True
        )
        projections = dict(zip(self.convolved, several, strict=True))
        self.short = ShortConvolutions(short, projections, causal=causal, rngs=rngs)

    @property
    def _features(self) -> Float[Array, "O F"]:
        """The sinusoids of each offset along each axis, side by side."""
        share = max(2, self.width // self.rank // 2 * 2)
        offsets = jnp.array(self.extent.offsets())  # [O, axes]
        return jnp.concatenate([sinusoidal(axis, share) for axis in offsets.T], axis=-1)

    convolved = ("queries", "keys", "values")

    @property
    def state_letters(self) -> dict[str, Any]:
        """Keys and values of what the kernel still reaches."""
        return {"keys": "B W H K", "values": "B W H U"} | self.short.state_letters

    def mix(
        self, x: Float[Array, "B *L D"], state: State | None, context: Context
    ) -> tuple[Float[Array, "B *M D"], State | None]:
        """Attends within whole sequences or grids, or also to what the state keeps."""
        projected = {"queries": self.queries(x), "keys": self.keys(x), "values": self.values(x)}
        projected, short = self.short(projected, state, context)
        query = projected.pop("queries")
        query = query[(slice(None), *(slice(None, None, self.stride),) * self.rank)]
        seen, after = Seen(projected, context.valid if state is None else None, 0), None
        edges, window = self.extent.edges(), self.extent.reach()[0] + 1
        if isinstance(state, Room):
            after = begin_cache(projected, 0, window, context) | short
        elif state is not None:
            seen, after = extend_cache(state, projected, window, context)
            after |= short
            edges = ((0, 0),)  # what is kept is the edge
        keys, values = (seen.arrays[name] for name in ("keys", "values"))
        return self._attend(query, keys, values, seen.valid, edges), after

    def initial_state(self, batch_size: int, room: int) -> State:
        """Zeros for the keys and values that the kernel still sees."""
        shape = (batch_size, self.extent.reach()[0], self.heads, self.width // self.heads)
        cache = {"keys": jnp.zeros(shape, jnp.float32), "values": jnp.zeros(shape, jnp.float32)}
        return cache | self.short.initial_state(batch_size)

    def _attend(self, query, keys, values, mask, edges) -> Float[Array, "B *M D"]:
        offsets = self.offsets[...]
        relative = self._features @ offsets.reshape(offsets.shape[0], self.width)  # [O, D]
        relative = relative.reshape(-1, *offsets.shape[1:])  # [O, H, K]
        around = Neighbourhood(self.extent.kernel, self.extent.dilation, edges, self.stride)
        mask = None if mask is None else jnp.asarray(mask)
        mixed = neighbourhood_attention(query, keys, values, relative, mask, around)
        return self.outputs(mixed)

    def cost(self, length: int | tuple[int, ...]) -> Cost:
        """Projections of keys and values, of the outputs' queries and sums, and of the offsets;
        scores and sums over the kernel at each output.
        """
        positions = length if isinstance(length, int) else math.prod(length)
        made = self.made(length)
        projected = 4 * (positions + made) * self.width**2 + 2 * self.volume * self.offsets.size
        return Cost(
            flops=projected + made * self.volume * 4 * self.width,
            state_bytes=self.state_bytes(0),
            sequential_depth=1 + self.short.depth,
        )
