"""Which steps diverge, as the step itself finds out, and what a run remembers for that.

The step decides, so that an update can be left out before it is made and nobody waits for the
device; what is done about it the loop says (:mod:`seqmodels.training.divergence`).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from seqmodels.arrays import AnyArray, Array, Bool, Float, Int, PyTree

DIVERGED = "diverged"
"""What a step's report calls it among its metrics."""


class Guard(NamedTuple):
    """What a run carries from step to step of those that diverged; a part of its checkpoints."""

    reversals: Int[AnyArray, ""]
    """How often it went back; by it the batches that follow are others."""
    skipped: Int[AnyArray, ""]
    """Updates that were left out."""
    losses: Float[AnyArray, "n"] | None
    """The last ones that were finite, oldest first; NaN before there are so many."""


@dataclass(frozen=True)
class Guarding:
    """Says which steps diverge: those whose loss or gradient is not finite, and spikes.

    Args:
      spike: a loss above so many times the median of the last ones is a spike; None for none.
      losses: how many are the last ones; before there are so many nothing is a spike.
      skips: whether the update of a step that diverges is left out.
    """

    spike: float | None
    losses: int | None
    skips: bool

    def begin(self) -> Guard:
        """Before the first step."""
        losses = None if self.losses is None else jnp.full(self.losses, jnp.nan)
        return Guard(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), losses)

    def look(
        self, guard: Guard, loss: Float[Array, ""], norm: Float[Array, ""]
    ) -> tuple[Bool[Array, ""], Guard]:
        """Whether a step of this mean loss and norm of the gradient diverges, and what follows."""
        finite = jnp.isfinite(loss)
        diverged = ~(finite & jnp.isfinite(norm))
        losses = guard.losses
        if self.spike is not None and losses is not None:
            diverged |= loss > self.spike * jnp.median(losses)
            # A spike counts among them, so that a loss that stays high isn't one for ever.
            losses = jnp.where(finite, jnp.append(losses[1:], loss), losses)
        skipped = guard.skipped + diverged if self.skips else guard.skipped
        return diverged, Guard(guard.reversals, skipped, losses)

    def choose(self, diverged: Bool[Array, ""], after: PyTree[Any], before: PyTree[Any]) -> Any:
        """What is gone on with: what the update has made, or what was there before it."""
        if not self.skips:
            return after
        return jax.tree.map(lambda new, old: jnp.where(diverged, old, new), after, before)
