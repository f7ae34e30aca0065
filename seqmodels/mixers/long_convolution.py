"""Mixers that convolve with filters as long as the sequence."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Float, State
from seqmodels.errors import require
from seqmodels.layers import Axes, Linear
from seqmodels.mixers.base import Context, Cost, Mixer, Room
from seqmodels.mixers.short_convolution import Short, ShortConvolutions
from seqmodels.ops.fft_convolution import (
    FFT_CONVOLUTION,
    convolution_at,
    convolution_flops,
    fft_convolution,
)
from seqmodels.parameters import parameter

MOST_ORDERS = 8
"""Projections that a Hyena multiplies with one another at most, beside its values."""
MOST_BANDS = 2**12
"""Frequencies that its filters read at most."""
MOST_AVERAGED = 255
"""Values of a filter that are averaged at most: each is a pass over all of it."""


class _LongFilter(Mixer):
    """What both have in common: causal filters of ``max_length`` positions, and all that was read
    as their state, since any of it counts for what follows.
    """

    causal = True

    def __init__(self, width: int, max_length: int, form: str | None):
        require(max_length >= 1, f"max_length={max_length} is below 1")
        FFT_CONVOLUTION.require_form(form)
        self.form = form
        self.width = width
        self.longest = self.max_length = max_length

    def _convolve(
        self,
        x: Float[Array, "B L D"],
        kernel: Float[Array, "M D"],
        kept: Any,
        context: Context,
    ) -> tuple[Float[Array, "B L D"], Array | None]:
        """By a filter; and of what was read all, with room for more."""
        if context.valid is not None:  # transforms spread the rounding of large values over all
            x = jnp.where(context.valid[:, :, None], x, jnp.zeros((), x.dtype))
        if kept is None:
            return fft_convolution(x, kernel, self.form), None
        if isinstance(kept, Room):
            missing = max(0, kept.positions - x.shape[1])
            seen = jnp.pad(x[:, : kept.positions], ((0, 0), (0, missing), (0, 0)))
            return fft_convolution(x, kernel, self.form), seen
        assert context.positions is not None
        places = jnp.broadcast_to(context.positions, x.shape[:2])
        rows = jnp.arange(len(x))[:, None]
        # Of padding what lies past the room is dropped; the rest is 0 until it is overwritten.
        seen = kept.at[rows, places].set(x.astype(kept.dtype), mode="drop")
        return convolution_at(seen.astype(x.dtype), kernel, places), seen


class LongConvolution(_LongFilter):
    """``y = W f(h * x + d x)`` with a learned filter h as long as the sequence (Fu et al. 2023).

    "Simple Hardware-Efficient Long Convolutions for Sequence Modeling" (arXiv 2302.06646): the
    filter is drawn small and squashed, ``sign(h) max(|h| - squash, 0)``, so that it stays sparse,
    or smoothed, or both; W may be a gated linear unit, ``W_1 z sigmoid(W_2 z)``. Decoding keeps all
    inputs, and takes a sum over them for each position.

    Args:
      max_length: positions of the filter, the longest sequence that it serves.
      squash: what the filter's values are drawn towards 0 by; 0 leaves them.
      smooth: over how many neighbouring values the filter is averaged before, an odd number; None
        leaves it.
      decay: whether the filter is drawn larger where it begins, with a decay of its own for each
        feature, from ``exp(-t / L)`` to ``exp(-D t / 2L)``; False draws it equally large.
      gated: whether W is a gated linear unit.
      form: how whole sequences and prompts are convolved, a name in
        :data:`~seqmodels.ops.fft_convolution.FFT_CONVOLUTION`; None takes the one that suits.
    """

    state_letters = "B L D"

    def __init__(
        self,
        width: int,
        max_length: int = 1024,
        squash: float = 0.001,
        smooth: int | None = None,
        decay: bool = True,
        gated: bool = True,
        form: str | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        super().__init__(width, max_length, form)
        require(0 <= squash < 1, f"squash={squash} is not at least 0 and below 1")
        require(
            smooth is None or (1 <= smooth <= MOST_AVERAGED and smooth % 2 == 1),
            f"smooth={smooth} is not an odd number of values from 1 to {MOST_AVERAGED}, such as 7; "
            "None leaves the filter",
        )
        self.squash, self.smooth = squash, smooth
        drawn = jax.random.normal(rngs.params(), (max_length, width))
        if decay:
            rates = (max(1, width // 2)) ** (jnp.arange(width) / width)
            places = jnp.arange(max_length)[:, None] / max_length
            drawn = 0.02 * drawn * jnp.exp(-places * rates[None])
        else:
            drawn = 0.002 * drawn
        self.filter = parameter(drawn, "LD", decays=False)
        skip = jax.random.normal(rngs.params(), (width,))
        self.skip = parameter(skip, "D", decays=False)
        self.outputs = Linear({"D": width}, {"D": width}, rngs=rngs)
        self.gate = Linear({"D": width}, {"D": width}, rngs=rngs) if gated else None

    def mix(
        self, x: Float[Array, "B L D"], state: State | None, context: Context
    ) -> tuple[Float[Array, "B L D"], State | None]:
        """Convolves a chunk with all that was read before it."""
        y, after = self._convolve(x, self._squashed(), state, context)
        hidden = nnx.gelu(y + self.skip[...].astype(x.dtype).reshape(1, 1, -1) * x)
        gate = 1.0 if self.gate is None else jax.nn.sigmoid(self.gate(hidden))
        return self.outputs(hidden) * gate, after

    def _squashed(self) -> Float[Array, "L D"]:
        h = self.filter[...]
        if self.smooth is not None:
            side = self.smooth // 2
            padded = jnp.pad(h, ((side, side), (0, 0)))
            h = jnp.mean(jnp.stack([padded[i : i + len(h)] for i in range(self.smooth)]), axis=0)
        return jnp.sign(h) * jnp.maximum(jnp.abs(h) - self.squash, 0)

    def initial_state(self, batch_size: int, room: int) -> State:
        """Room for all inputs."""
        return jnp.zeros((batch_size, room, self.width), jnp.float32)

    def cost(self, length: int) -> Cost:
        """The transforms of the convolution, and the projections."""
        projections = (1 if self.gate is None else 2) * self.width**2
        flops = convolution_flops(length, self.width) + length * 2 * projections
        return Cost(flops, self.state_bytes(length), sequential_depth=1)


class Hyena(_LongFilter):
    """``y = W (x_0 (h_1 * x_1 (h_2 * ... v)))``, the filters h made by an MLP (Poli et al. 2023).

    "Hyena Hierarchy" (arXiv 2302.10866): of order N, N + 1 projections of the inputs, x_0 ...
    x_{N-1} and v, each through the block's short convolution, and between two products a filter as
    long as the sequence, plus a learned multiple of what it reads. As in the code that came with
    it, an order of N has N - 1 filters. A filter's value at a time t in [0, 1] is
    ``exp(-a t) MLP(t, cos, sin)``: sinusoids of t, two layers more with sines of a learned
    frequency, and a window that decays at a rate of each feature, from 1% at 0.3 to 1% at 1.5.
    Decoding keeps what each filter reads, and takes a sum over it for each position.

    Args:
      max_length: the longest sequence that it serves, t = 1.
      order: N, at least 2.
      filter_width: features F of the MLP.
      bands: how many frequencies of sinusoids it reads.
      frequency: of its sines, at the start.
      form: as :class:`LongConvolution`'s.
      short: the block's short convolution, of all projections.
    """

    convolved = ("inputs",)

    def __init__(
        self,
        width: int,
        max_length: int = 1024,
        order: int = 2,
        filter_width: int = 64,
        bands: int = 16,
        frequency: float = 14.0,
        form: str | None = None,
        *,
        short: Short | None = None,
        rngs: nnx.Rngs,
    ):
        super().__init__(width, max_length, form)
        require(
            2 <= order <= MOST_ORDERS,
            f"order={order} is not from 2 to {MOST_ORDERS}: an order of N has N - 1 filters",
        )
        require(filter_width >= 1, f"filter_width={filter_width} is below 1")
        require(1 <= bands <= MOST_BANDS, f"bands={bands} is not from 1 to {MOST_BANDS:,}")
        require(frequency > 0, f"frequency={frequency} is not above 0")
        self.order, self.bands = order, bands
        D, F = width, filter_width
        axes = {"gates": order + 1, "D": D}
        self.inputs = Linear({"D": D}, axes, rngs=rngs)
        self.short = ShortConvolutions(short, {"inputs": axes}, rngs=rngs)
        read: list[Axes] = [{"features": 2 * bands + 1}, {"F": F}, {"F": F}]
        self.hidden = nnx.List([_Layer(inputs, {"F": F}, rngs) for inputs in read])
        filters = {"gates": order - 1, "D": D}
        self.last = _Layer({"F": F}, filters, rngs, bias=False)
        self.frequency = parameter(jnp.full((F,), frequency), "F", decays=False)
        skips = jax.random.normal(rngs.params(), (order - 1, D))
        self.skip = parameter(skips, ("gates", "D"), decays=False)
        self.outputs = Linear({"D": D}, {"D": D}, rngs=rngs)

    @property
    def state_letters(self) -> dict[str, Any]:
        """What each filter has read, and the short convolution."""
        return {"read": ("B L D",) * (self.order - 1)} | self.short.state_letters

    def mix(
        self, x: Float[Array, "B L D"], state: State | None, context: Context
    ) -> tuple[Float[Array, "B L D"], State | None]:
        """The products and filters over a chunk, after all that was read before it."""
        projected, short = self.short({"inputs": self.inputs(x)}, state, context)
        *gates, y = jnp.moveaxis(projected["inputs"], 2, 0)
        filters = self.filters(self._length(x, state))
        skips, read = self.skip[...].astype(x.dtype), []
        for index, gate in enumerate(reversed(gates[1:])):
            y = gate * y
            kept = state["read"][index] if isinstance(state, dict) else state
            convolved, after = self._convolve(y, filters[:, index], kept, context)
            y = convolved + skips[index].reshape(1, 1, -1) * y
            read.append(after)
        return self.outputs(y * gates[0]), None if state is None else {"read": tuple(read), **short}

    def _length(self, x, state) -> int:
        return state["read"][0].shape[1] if isinstance(state, dict) else x.shape[1]

    def filters(self, length: int) -> Float[Array, "L gates D"]:
        """The filters' values at the first positions."""
        places = jnp.arange(length, dtype=jnp.float32)[:, None]
        t = places / max(1, self.max_length - 1)
        angles = places * (2 * math.pi / self.max_length * self._bands)[None]
        h = jnp.concatenate([t, jnp.cos(angles), -jnp.sin(angles)], axis=1)
        for layer in self.hidden:
            h = jnp.sin(self.frequency[...][None] * layer(h))
        h = self.last(h)  # [L, gates, D]
        slowest, fastest = (-math.log(0.01) / end for end in (1.5, 0.3))
        rates = jnp.linspace(slowest, fastest, math.prod(h.shape[1:])).reshape(h.shape[1:])
        return h * jnp.exp(-t[:, :, None] * rates[None])

    @property
    def _bands(self) -> Float[Array, "F"]:
        return jnp.linspace(1e-4, self.bands - 1, self.bands)

    def initial_state(self, batch_size: int, room: int) -> State:
        """Room for what each filter reads."""
        read = jnp.zeros((batch_size, room, self.width), jnp.float32)
        return {"read": (read,) * (self.order - 1)} | self.short.initial_state(batch_size)

    def cost(self, length: int) -> Cost:
        """The projections, and for each filter its values and the transforms."""
        projections = (self.order + 2) * self.width**2
        layers = [*self.hidden, self.last]
        values = sum(math.prod(layer.matrix.shape) for layer in layers)
        filters = (self.order - 1) * convolution_flops(length, self.width)
        flops = length * 2 * (projections + values) + filters
        return Cost(flops, self.state_bytes(length), self.order - 1 + self.short.depth)


class _Layer(nnx.Module):
    """A layer of a filter's MLP, drawn uniformly within ``1 / sqrt(inputs)`` of 0 as torch's.

    Nothing of it decays: the window already bounds the filter.
    """

    def __init__(self, inputs: Axes, outputs: Axes, rngs: nnx.Rngs, *, bias: bool = True):
        shape, made = (*inputs.values(), *outputs.values()), tuple(outputs.values())
        bound = 1 / math.sqrt(math.prod(inputs.values()))

        def draw(shape: tuple[int, ...]) -> Array:
            return jax.random.uniform(rngs.params(), shape, minval=-bound, maxval=bound)

        self.matrix = parameter(draw(shape), (*inputs, *outputs), decays=False)
        self.bias = parameter(draw(made), (*outputs,), decays=False) if bias else None

    def __call__(self, h: Float[Array, "L F"]) -> Float[Array, "L ..."]:
        """In float32: the filters of all rows are made once."""
        matrix = self.matrix[...]
        made = (h @ matrix.reshape(len(matrix), -1)).reshape(len(h), *matrix.shape[1:])
        return made if self.bias is None else made + self.bias[...][None]
