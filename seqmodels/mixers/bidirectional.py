"""A causal mixer in both directions."""

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Float, State
from seqmodels.config import Section
from seqmodels.errors import ConfigError, ParameterError, require
from seqmodels.layers import Linear
from seqmodels.mixers.base import Context, Cost, Mixer
from seqmodels.mixers.short_convolution import Short, ShortConvolution, construct_mixer
from seqmodels.observing import within
from seqmodels.ops.turns import before_backward, in_turn


class Bidirectional(Mixer):
    """One causal mixer from left to right, one from right to left, and a projection of both.

    ``y = W [forward(x), backward(x)]`` (Schuster and Paliwal 1997): every output depends on
    the whole sequence. Padding may stand anywhere: the mixers carry their state over it.

    Args:
      mixer: ``{"kind": a causal mixer on one axis, **settings}``, such as an LSTM.
      short: the block's short convolution, in each mixer or before it, in its own direction.
    """

    convolved = ("forward", "backward")

    def __init__(self, width: int, mixer: Section, *, short: Short | None = None, rngs: nnx.Rngs):
        self.forward, self.forward_short = _construct(mixer, width, short, rngs)
        self.backward, self.backward_short = _construct(mixer, width, short, rngs)
        require(
            self.forward.has_state,
            f"mixer.kind={dict(mixer.items())['kind']!r} has no direction; it takes a causal "
            "mixer on one axis, such as 'lstm'",
        )
        self.outputs = Linear({"directions": 2, "D": width}, {"D": width}, rngs=rngs)
        self.position_range = self.forward.position_range
        self.longest = self.forward.longest

    def mix(
        self, x: Float[Array, "B L D"], state: State | None, context: Context
    ) -> tuple[Float[Array, "B L D"], None]:
        """Mixes whole sequences: the second mixer reads them from their end."""
        assert state is None
        keys = (None, None) if context.key is None else jax.random.split(context.key)
        with within("forward"):
            ahead = _read(self.forward, self.forward_short, x, context._replace(key=keys[0]))
        x, ahead = in_turn(x, ahead)
        with within("backward"):  # what is observed there lies on the flipped sequence
            flipped = context.flipped()._replace(key=keys[1])
            back = _read(self.backward, self.backward_short, jnp.flip(x, 1), flipped)
        both = self.outputs(jnp.stack([ahead, jnp.flip(back, 1)], axis=-2))
        return before_backward(both), None

    def cost(self, length: int) -> Cost:
        """Two mixers beside each other, and a product of [2D] with [2D, D] a position."""
        one = self.forward.cost(length)
        width = self.outputs.weights.shape[1]
        depth = one.sequential_depth + (self.forward_short is not None)
        return Cost(2 * one.flops + length * 4 * width**2, 0, depth)


def _read(
    mixer: Mixer, short: ShortConvolution | None, x: Float[Array, "B L D"], context: Context
) -> Float[Array, "B L D"]:
    return mixer(x if short is None else short(x, None, context)[0], context)


def _construct(
    mixer: Section, width: int, short: Short | None, rngs: nnx.Rngs
) -> tuple[Mixer, ShortConvolution | None]:
    try:
        return construct_mixer(mixer, "mixer", width=width, short=short, rngs=rngs)
    except ConfigError as error:
        raise ParameterError(str(error)) from None
