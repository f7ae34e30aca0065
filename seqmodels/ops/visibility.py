"""Which keys a query may see, in one place for every form of attention."""

from seqmodels.arrays import Array, Bool, Int


def allowed(
    query_position: Int[Array, "*#S"],
    key_position: Int[Array, "*#S"],
    causal: bool,
    window: int | None,
) -> Bool[Array, "*S"]:
    """True where a query may see a key, elementwise over positions that broadcast.

    Window W is W keys, the query's own included (causal), or W on each side and
    the query's own.
    """
    distance = query_position - key_position
    if causal:
        return (distance >= 0) if window is None else (distance >= 0) & (distance < window)
    if window is None:
        return distance == distance
    return (distance <= window) & (distance >= -window)
