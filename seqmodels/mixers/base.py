"""What a mixer is: the only part in which the models differ."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from seqmodels.arrays import AnyArray, Array, Bool, Float, Key, State


class Cost(NamedTuple):
    """What one sequence of a length costs in the forward pass."""

    flops: float
    """Floating-point operations of the matrix products, 2 for a multiply-add."""
    state_bytes: int
    """Bytes of state that continuing after the sequence needs (float32); 0 where it can't."""
    sequential_depth: int
    """The longest chain of steps that must follow one another, each a parallel operation."""

    def __add__(self, other: "Cost") -> "Cost":  # type: ignore[override]
        """The cost of one after the other."""
        return Cost(
            self.flops + other.flops,
            self.state_bytes + other.state_bytes,
            self.sequential_depth + other.sequential_depth,
        )


@runtime_checkable
class Mixer(Protocol):
    """Mixes information between the positions of a sequence.

    The constructor takes the width D first, then its own settings, then ``rngs``;
    its signature is the schema of its config section. Parameters are float32;
    computation follows the dtype of x. Padding never changes a valid position's
    result.
    """

    causal: bool
    """Whether an output depends only on its own and earlier positions: it then has a state."""
    rank: int | None
    """How many axes its inputs' positions have, ``*L``; None for any number of them."""
    stride: int
    """How many positions of each axis become one output; 1 keeps them. Above 1 it has no state."""

    def __call__(
        self,
        x: Float[Array, "B *L D"],
        mask: Bool[AnyArray, "B *L"] | None = None,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "B *M D"]:
        """Mixes whole sequences or grids; mask is True at real positions. M = ceil(L / stride)."""
        ...

    def initial_state(self, batch_size: int, max_length: int) -> State:
        """The state before the first position, for at most max_length positions."""
        ...

    def extend(self, x: Float[Array, "B L D"], state: State) -> tuple[Float[Array, "B L D"], State]:
        """Continues from a state by a chunk of any length, as one call on the whole would."""
        ...

    def cost(self, length: int) -> Cost:
        """The forward cost of one sequence."""
        ...


MIXERS: dict[str, type[Any]] = {}
"""The mixers by kind. :mod:`seqmodels.mixers` names them; what holds another reads it here."""
