"""Which keys a query may see: the one statement of it that every form of attention uses."""

from seqmodels.arrays import Array, Bool, Int

EVERYWHERE = 2**30
"""A reach past any sequence, and still far from int32's end when added to a position."""


def reach(causal: bool, window: int | None) -> tuple[int, int]:
    """How many keys a query sees before its own position, and how many after it.

    Window W is W keys, the query's own included (causal), or W on each side and
    the query's own; None is all of them.

    >>> reach(causal=True, window=3), reach(causal=False, window=3)
    ((2, 0), (3, 3))
    """
    side = EVERYWHERE if window is None else window
    if not causal:
        return side, side
    return (side if window is None else window - 1), 0


def allowed(
    query_position: Int[Array, "*#S"],
    key_position: Int[Array, "*#S"],
    causal: bool,
    window: int | None,
) -> Bool[Array, "*S"]:
    """True where a query may see a key, for positions that broadcast against each other."""
    before, after = reach(causal, window)
    distance = query_position - key_position
    return (distance <= before) & (distance >= -after)
