"""A causal mixer in both directions."""

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Float, State
from seqmodels.config import Section, construct_kind
from seqmodels.errors import ConfigError, ParameterError, require
from seqmodels.layers import Linear
from seqmodels.mixers.base import MIXERS, Context, Cost, Mixer
from seqmodels.observing import within


class Bidirectional(Mixer):
    """One causal mixer from left to right, one from right to left, and a projection of both.

    ``y = W [forward(x), backward(x)]`` (Schuster and Paliwal 1997): every output depends on
    the whole sequence. Padding may stand anywhere: the mixers carry their state over it.

    Args:
      mixer: ``{"kind": a causal mixer on one axis, **settings}``, such as an LSTM.
    """

    def __init__(self, width: int, mixer: Section, *, rngs: nnx.Rngs):
        self.forward = _construct(mixer, width, rngs)
        self.backward = _construct(mixer, width, rngs)
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
            ahead = self.forward(x, context._replace(key=keys[0]))
        with within("backward"):  # what is observed there lies on the flipped sequence
            back = self.backward(jnp.flip(x, 1), context.flipped()._replace(key=keys[1]))
        return self.outputs(jnp.stack([ahead, jnp.flip(back, 1)], axis=-2)), None

    def cost(self, length: int) -> Cost:
        """Two mixers beside each other, and a product of [2D] with [2D, D] a position."""
        one = self.forward.cost(length)
        width = self.outputs.weights.shape[1]
        return Cost(2 * one.flops + length * 4 * width**2, 0, one.sequential_depth)


def _construct(mixer: Section, width: int, rngs: nnx.Rngs) -> Mixer:
    try:
        return construct_kind(MIXERS, mixer, "mixer", width=width, rngs=rngs)
    except ConfigError as error:
        raise ParameterError(str(error)) from None
