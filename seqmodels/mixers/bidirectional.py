"""A causal mixer in both directions."""

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import AnyArray, Array, Bool, Float, Key, State
from seqmodels.config import Section, construct_kind
from seqmodels.errors import ConfigError, ParameterError, require
from seqmodels.layers import Linear
from seqmodels.mixers.base import MIXERS, Cost, Mixer
from seqmodels.mixers.recording import flipped_attention


class Bidirectional(nnx.Module):
    """One causal mixer from left to right, one from right to left, and a projection of both.

    ``y = W [forward(x), backward(x)]`` (Schuster and Paliwal 1997): every output depends on
    the whole sequence. Padding may stand anywhere: the mixers carry their state over it.

    Args:
      width: the model width D, of each direction too.
      mixer: ``{"kind": a causal mixer on one axis, **settings}``, such as an LSTM.
      rngs: the source of the initial weights.
    """

    causal = False
    rank = 1
    stride = 1

    def __init__(self, width: int, mixer: Section, *, rngs: nnx.Rngs):
        self.forward = _construct(mixer, width, rngs)
        self.backward = _construct(mixer, width, rngs)
        require(
            self.forward.causal and self.forward.rank in (None, 1),
            f"mixer.kind={dict(mixer.items())['kind']!r} has no direction; it takes a causal "
            "mixer on one axis, such as 'lstm'",
        )
        self.outputs = Linear({"directions": 2, "D": width}, {"D": width}, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "B L D"],
        mask: Bool[AnyArray, "B L"] | None = None,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "B L D"]:
        """Mixes whole sequences."""
        keys = (None, None) if key is None else jax.random.split(key)
        reversed_mask = None if mask is None else jnp.flip(mask, 1)
        ahead = self.forward(x, mask, keys[0])
        with flipped_attention():
            back = jnp.flip(self.backward(jnp.flip(x, 1), reversed_mask, keys[1]), 1)
        return self.outputs(jnp.stack([ahead, back], axis=-2))

    def initial_state(self, batch_size: int, max_length: int) -> State:
        """Nothing: an output depends on what comes later."""
        raise TypeError("a bidirectional mixer has no state to continue from")

    def extend(self, x: Float[Array, "B L D"], state: State) -> tuple[Float[Array, "B L D"], State]:
        """Not possible: an output depends on what comes later."""
        raise TypeError("a bidirectional mixer can't continue from a state")

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
