"""Which checkpoints of a run are kept while later ones come."""

from typing import NamedTuple


class Keeping(NamedTuple):
    """Which checkpoints are kept, besides the best."""

    latest: int = 2
    """So many; of two a damaged one leaves a good one."""
    every: int | None = None
    """Those of its multiples, for good."""
    validated: int = 1
    """Validations come after its multiples."""
    back: int = 0
    """So many of the latest of those, to which a run may go back."""

    def among(self, steps: list[int]) -> set[int]:
        """Those of some steps, which rise.

        >>> sorted(Keeping(1, every=30, validated=10, back=2).among([10, 20, 30, 34, 40, 50, 58]))
        [30, 40, 50, 58]
        """
        regular = [step for step in steps if step % self.validated == 0]
        kept = {*steps[-self.latest :], *regular[max(0, len(regular) - self.back) :]}
        return kept | {step for step in steps if self.every and step % self.every == 0}
