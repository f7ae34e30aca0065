"""What a mixer is: the only part in which the models differ."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import AnyArray, Array, Bool, Float, Int, Key, State
from seqmodels.errors import require, require_least
from seqmodels.ops.positions import draw_positions, spread_positions


class Cost(NamedTuple):
    """What one sequence of a length costs in the forward pass."""

    flops: float
    """Floating-point operations that the mathematics needs, whatever a form of it spends, as
    :mod:`seqmodels.flops` counts them: of attention those of the visible pairs."""
    state_bytes: int
    """Bytes of state that continuing after the sequence needs (float32); 0 where it can't."""
    sequential_depth: int
    """The longest chain of steps that must follow one another, each a parallel operation, of the
    form that the settings name, else of the one with the fewest."""

    def __add__(self, other: "Cost") -> "Cost":  # type: ignore[override]
        """The cost of one after the other."""
        return Cost(
            self.flops + other.flops,
            self.state_bytes + other.state_bytes,
            self.sequential_depth + other.sequential_depth,
        )


@partial(jax.tree_util.register_dataclass, data_fields=(), meta_fields=("positions",))
@dataclass(frozen=True)
class Room:
    """The state before the first position: nothing is read yet, and so many positions may be.

    It has no leaves. The number stands in the tree's structure, so it is known while tracing:
    what is read first goes through the forms for whole sequences.
    """

    positions: int


class Context(NamedTuple):
    """What a mixer knows of the positions in x beside their features.

    A model makes it once for all its layers. Without a state padding may lie anywhere and holds its
    place; with one, valid positions come first, and a row's state advances by as many.
    """

    valid: Bool[Array, "B *L"] | None
    """True at real positions, False in padding; None where all are real."""
    positions: Int[Array, "#B L"] | None
    """Each position's place in its sequence, counted on from the state's; None on a grid."""
    spread: Int[Array, "#B L"] | None
    """Places among ``position_range``, further apart than ``positions``; None where no mixer sets
    that."""
    lengths: Int[Array, "B"] | None
    """How many positions each row has in all, those that are still to come too; None on a grid."""
    key: Key[Array, ""] | None
    """For dropout; None where nothing is dropped."""

    @classmethod
    def of(
        cls,
        rows: int,
        length: int,
        valid: Bool[AnyArray, "B L"] | None = None,
        *,
        count: int | Int[AnyArray, "B"] = 0,
        lengths: Int[Array, "B"] | None = None,
        position_range: int | None = None,
        draw: Key[Array, ""] | None = None,
        key: Key[Array, ""] | None = None,
    ) -> "Context":
        """That of whole sequences, or of a chunk after ``count`` positions.

        ``lengths`` are what ``valid`` says unless they are given. ``draw`` draws the spread
        positions of whole sequences; without it they are spread evenly.
        """
        valid = None if valid is None else jnp.asarray(valid)
        if lengths is None:
            full = jnp.full((rows,), length, jnp.int32)
            lengths = full if valid is None else jnp.sum(valid, axis=1, dtype=jnp.int32)
        positions = jnp.reshape(jnp.asarray(count), (-1, 1)) + jnp.arange(length)[None]
        spread = None
        if position_range is not None and draw is not None:
            spread = draw_positions(length, position_range, lengths, draw, valid)
        elif position_range is not None:
            spread = spread_positions(positions, position_range, lengths)
        return cls(valid, positions, spread, lengths, key)

    def coarser(self, valid: Bool[Array, "B *M"] | None, stride: int) -> "Context":
        """That of the windows of ``stride`` positions, of which each has become one.

        They are counted anew, and each is spread as its first position was.
        """
        if self.positions is None or self.lengths is None:
            return self._replace(valid=valid)
        spread = None if self.spread is None else self.spread[:, ::stride]
        left = -(-self.positions.shape[1] // stride)
        lengths = -(-self.lengths // stride)
        return self._replace(
            valid=valid, positions=self.positions[:, :left], spread=spread, lengths=lengths
        )

    def flipped(self) -> "Context":
        """That of the sequences from their last position to their first."""
        valid = None if self.valid is None else jnp.flip(self.valid, 1)
        spread = None if self.spread is None else self.spread[:, -1:] - jnp.flip(self.spread, 1)
        return self._replace(valid=valid, spread=spread)


class Mixer(nnx.Module):
    """Mixes information between the positions of a sequence.

    The constructor takes the width D first, then its own settings, then ``rngs``;
    its signature is the schema of its config section. Parameters are float32;
    computation follows the dtype of x. Padding never changes a valid position's
    result, and a sequence may be split anywhere.
    """

    rank: int | None = 1
    """How many axes its inputs' positions have, ``*L``; None for any number of them."""
    stride: int = 1
    """How many positions of each axis become one output; 1 keeps them."""
    causal: bool = False
    """Whether an output sees nothing later; on a grid, on the first axis."""
    position_range: int | None = None
    """Among how many positions it wants a sequence's spread; None where it counts them."""
    longest: int | None = None
    """The longest sequence that it can serve; None for any."""
    convolved: tuple[str, ...] = ()
    """Its projections that take the block's short convolution, which its constructor is given as
    ``short``; where there are none, it stands before the mixer, in the block."""
    state_settings: tuple[str, ...] = ()
    """Its settings that say how large its state is at a width, of which the first counts that isn't
    None; a float is a share of the width. None where the width alone says it."""
    divisible: bool = True
    """Whether devices may share its heads and features. A step of a nonlinear recurrence reads all
    of the step before, so there each device computes the whole."""
    state_letters: Any = None
    """The axes of each leaf of its state, such as "B D"; L is what there must be room for."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if vars(cls).get("has_state") is True and cls.causal is False:
            raise TypeError(
                f"{cls.__name__}.has_state=True with causal=False: what sees later positions can't "
                "go on from a state; set one of them otherwise"
            )

    @property
    def has_state(self) -> bool:
        """Whether it can go on from a state: causal on one axis, an output for each input."""
        return self.causal and self.stride == 1 and self.rank in (None, 1)

    def mix(
        self, x: Float[Array, "B *L D"], state: State | None, context: Context
    ) -> tuple[Float[Array, "B *M D"], State | None]:
        """Mixes a chunk of any length that comes after a state, and the state after it.

        ``state`` is None for whole sequences or grids whose state nobody wants, and None comes
        back; :class:`Room` before the first chunk; else what the last call returned. Without one
        there may be fewer outputs, M = ceil(L / stride).
        """
        raise NotImplementedError

    def initial_state(self, batch_size: int, room: int) -> State:
        """The state before the first of at most ``room`` positions: rows first, in float32."""
        raise TypeError(f"{type(self).__name__} has no state to go on from")

    def cost(self, length: int | tuple[int, ...]) -> Cost:
        """The forward cost of one sequence, or of a grid with axes of these lengths."""
        raise NotImplementedError

    def state_bytes(self, length: int) -> int:
        """Bytes of the numbers in its state, counters aside, for so many positions."""
        if not self.has_state:
            return 0
        leaves = jax.tree.leaves(jax.eval_shape(lambda: self.initial_state(1, length)))
        numbers = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]
        return sum(leaf.size * leaf.dtype.itemsize for leaf in numbers)

    def __call__(
        self, x: Float[Array, "B *L D"], context: Context | None = None
    ) -> Float[Array, "B *M D"]:
        """Mixes whole sequences or grids; without a context nothing of them is padding."""
        if context is None:
            context = self.context(x)
        return self.mix(x, None, context)[0]

    def extend(
        self, x: Float[Array, "B L D"], state: State, context: Context
    ) -> tuple[Float[Array, "B L D"], State]:
        """Goes on from a state by a chunk of any length, as one call on the whole would."""
        if not self.has_state:
            raise TypeError(
                f"{type(self).__name__} can't go on from a state: that takes a causal mixer on one "
                "axis that keeps every position"
            )
        return self.mix(x, state, context)  # type: ignore[return-value]

    def context(
        self, x: Float[Array, "B *L D"], valid: Bool[AnyArray, "B *L"] | None = None
    ) -> Context:
        """What whole sequences or grids are to it by themselves."""
        if x.ndim > 3:
            valid = None if valid is None else jnp.asarray(valid)
            return Context(valid, None, None, None, None)
        return Context.of(x.shape[0], x.shape[1], valid, position_range=self.position_range)


WIDEST = 2**24
"""Features of an expanded mixer, and states of all its features, at most."""


def features_of_a_head(
    width: int, heads: int, name: str = "expansion", expansion: float = 1.0
) -> int:
    """The width of one of the heads that ``expansion * width`` features share equally.

    Raises:
      ParameterError: they can't.
    """
    require_least(1, heads=heads)
    features = expansion * width
    whole = round(features)
    require(
        whole <= WIDEST,
        f"{name}={expansion} of the width {width} is more than {WIDEST:,} features; lower it",
    )
    require(
        whole >= 1 and abs(features - whole) < 1e-6,
        f"{name}={expansion} of the width {width} is {features:g}: no whole number above 0",
    )
    of = f"the width {width}" if expansion == 1 else f"{name}={expansion} of the width, {whole}"
    require(
        whole % heads == 0,
        f"heads={heads} does not divide {of}; choose one of "
        + ", ".join(str(h) for h in range(1, min(whole, 64) + 1) if whole % h == 0),
    )
    return whole // heads


MIXERS: dict[str, type[Any]] = {}
"""The mixers by kind. :mod:`seqmodels.mixers` names them; what holds another reads it here."""
