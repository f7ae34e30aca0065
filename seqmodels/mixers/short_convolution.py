"""A short causal convolution, of what a mixer projects or of all that it reads."""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from ml_collections import ConfigDict

from seqmodels.arrays import Array, Float, State
from seqmodels.config import construct_kind
from seqmodels.layers import Axes
from seqmodels.mixers.base import MIXERS, Context, Mixer, Room
from seqmodels.mixers.cache import keep_on
from seqmodels.ops.convolution import depthwise_convolution
from seqmodels.parameters import keep_whole, parameter

ShortActivation = Literal["none", "silu"]


class Short(NamedTuple):
    """A block's short convolution, as a mixer's constructor is given it."""

    kernel: int
    """How many positions one output sees."""
    activation: ShortActivation = "none"


class ShortConvolution(nnx.Module):
    """``y_t = f(b + sum_i w_i * x_{t-i})``, each feature by itself, i below a kernel of about 4.

    As in H3 (Fu et al. 2023) and Mamba (Gu and Dao 2023), whose weights and biases are drawn from
    the same distribution, uniform within ``1 / sqrt(kernel)`` of 0; f is the identity or SiLU.
    Positions before the first count as zeros, and so does padding. It costs no FLOPs as they are
    counted: the products are elementwise.

    Args:
      axes: those of a position's features, and their sizes.
      causal: whether it sees its own and earlier positions, or as many on each side; then an even
        kernel is taken one wider.
    """

    def __init__(self, axes: Axes, short: Short, *, causal: bool = True, rngs: nnx.Rngs):
        self.causal = causal
        self.axes = tuple(axes.values())
        self.kernel = short.kernel + (not causal and short.kernel % 2 == 0)
        self.activation: ShortActivation = short.activation
        self.state_letters = " ".join(("B", "W", *axes))
        bound = 1 / math.sqrt(self.kernel)

        def draw(shape: tuple[int, ...]) -> Array:
            return jax.random.uniform(rngs.params(), shape, minval=-bound, maxval=bound)

        letters = ("kernel", *axes)
        self.weights = parameter(draw((self.kernel, *self.axes)), letters, decays=True)
        self.bias = parameter(draw(self.axes), (*axes,), decays=False)

    def __call__(
        self, x: Float[Array, "B L *features"], state: State | None, context: Context
    ) -> tuple[Float[Array, "B L *features"], State | None]:
        """Convolves a chunk after the inputs kept in the state, and those to keep then.

        ``state`` is None, :class:`Room` or the last call's, as a mixer's.
        """
        flat = x.reshape(*x.shape[:2], -1)
        kept = after = None
        later = 0 if self.causal else self.reach // 2
        if state is None:
            if context.valid is not None:
                flat = jnp.where(context.valid[:, :, None], flat, jnp.zeros((), x.dtype))
        else:
            kept = None if isinstance(state, Room) else state.reshape(*state.shape[:2], -1)
            after = keep_on(kept, flat, self.reach, context.valid)
            after = after.reshape(len(x), self.reach, *self.axes)
        weights = self.weights[...].reshape(self.kernel, -1)
        edges = ((self.reach - later, later),)
        y = depthwise_convolution(flat, weights, edges=edges, kept=kept)
        y = y + self.bias[...].astype(y.dtype).reshape(1, 1, -1)
        y = jax.nn.silu(y) if self.activation == "silu" else y
        return y.reshape(x.shape), after

    @property
    def reach(self) -> int:
        """How far apart the first and the last position seen lie."""
        return self.kernel - 1

    def initial_state(self, batch_size: int) -> Array:
        """The inputs that are still seen: zeros ``[B, kernel - 1, *axes]`` in float32."""
        return jnp.zeros((batch_size, self.reach, *self.axes), jnp.float32)

    @property
    def state_bytes(self) -> int:
        """Bytes of a row's state; 0 where it can't go on from one."""
        return 4 * self.reach * math.prod(self.axes) if self.causal else 0


class ShortConvolutions(nnx.Module):
    """Those of the projections that a mixer lists in ``convolved``; none where ``short`` is None.

    Their state is the item "short" of the mixer's, which has none where there are none.

    Args:
      short: what the mixer's constructor was given.
      projections: the axes of each one's features, by its name.
    """

    def __init__(
        self,
        short: Short | None,
        projections: dict[str, Axes],
        *,
        causal: bool = True,
        rngs: nnx.Rngs,
    ):
        self.names = () if short is None else tuple(projections)
        if short is not None:
            for name, axes in projections.items():
                setattr(self, name, ShortConvolution(axes, short, causal=causal, rngs=rngs))

    def __call__(
        self, projected: dict[str, Array], state: State | None, context: Context
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """The projections, convolved, and what their part of the mixer's next state is.

        Args:
          projected: each [B, L, *axes], by its name.
          state: the mixer's: None, :class:`Room`, or a dict.
        """
        outputs, after = dict(projected), {}
        for name, convolve in self._each().items():
            kept = state["short"][name] if isinstance(state, dict) else state
            outputs[name], after[name] = convolve(projected[name], kept, context)
        return outputs, {"short": after} if after and state is not None else {}

    def initial_state(self, batch_size: int) -> dict[str, Any]:
        """What the mixer's state has of them."""
        states = {name: each.initial_state(batch_size) for name, each in self._each().items()}
        return {"short": states} if states else {}

    @property
    def state_letters(self) -> dict[str, Any]:
        """The axes of that."""
        letters = {name: each.state_letters for name, each in self._each().items()}
        return {"short": letters} if letters else {}

    @property
    def depth(self) -> int:
        """How many steps they add to the mixer's."""
        return 1 if self.names else 0

    def _each(self) -> dict[str, ShortConvolution]:
        return {name: getattr(self, name) for name in self.names}


def construct_mixer(
    section: Any, path: str, *, width: int, short: Short | None, rngs: nnx.Rngs
) -> tuple[Mixer, ShortConvolution | None]:
    """A mixer of a config's section, and the short convolution before it, if it holds none itself.

    Raises:
      ConfigError: a key or value of the section that can't be.
    """
    given: dict[str, Any] = {"width": width, "rngs": rngs}
    kind: Any = section.get("kind") if isinstance(section, Mapping | ConfigDict) else None
    if isinstance(kind, str) and kind in MIXERS and MIXERS[kind].convolved:
        given["short"] = short
    mixer = construct_kind(MIXERS, section, path, **given)
    if not mixer.divisible:
        keep_whole(mixer)
    if short is None or mixer.convolved:
        return mixer, None
    return mixer, ShortConvolution({"D": width}, short, causal=mixer.causal, rngs=rngs)
