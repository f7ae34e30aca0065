"""When a run ends before its last step: by its validation scores alone, so that resume is exact."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

End = Literal["steps", "stop_at", "patience"]
"""Why a run has ended: by the setting of ``train`` that ended it."""
ENDS: tuple[End, ...] = get_args(End)


class EarlyEnd:
    """Says when the validation scores of a run end it.

    Args:
      stop_at: the score that ends it once it is reached; None for none.
      patience: so many validations in a row, none of them better than all before, end it; None for
        none.
      higher_is_better: the score's direction.

    >>> end = EarlyEnd(None, 2, higher_is_better=True)
    >>> [end.after(score) for score in (0.5, 0.6, 0.6, 0.7, 0.1, 0.7)]
    [None, None, None, None, None, 'patience']
    """

    def __init__(self, stop_at: float | None, patience: int | None, higher_is_better: bool):
        self._sign = 1 if higher_is_better else -1
        self._stop_at, self._patience = stop_at, patience
        self._best = -math.inf
        self._without = 0

    def after(self, score: float) -> End | None:
        """What ends the run after its next validation; None lets it go on."""
        rank = self._sign * score
        if rank > self._best:
            self._best, self._without = rank, 0
        else:
            self._without += 1
        if self._stop_at is not None and rank >= self._sign * self._stop_at:
            return "stop_at"
        return "patience" if self._without == self._patience else None

    def after_all(self, events: Iterable[Mapping[str, Any]], score: str) -> End | None:
        """The same after the validations among events that a run goes on from, in order."""
        end = None
        for event in events:
            if event["split"] == "validation" and score in event:
                end = self.after(event[score])
        return end
