"""What benchmarks/check.py measured: how a case's time after compares with that before."""

import math
import statistics
from typing import Any, NamedTuple


class Measured(NamedTuple):
    """A case, and the seconds of its rounds before and after, measured in turn."""

    name: str
    request: dict[str, Any]
    before: list[float]
    after: list[float]

    def ratios(self) -> list[float]:
        """After over before, round by round."""
        return [after / before for before, after in zip(self.before, self.after, strict=True)]

    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios())

    def line(self) -> str:
        """The name, milliseconds before and after, and the ratio with its lowest and highest."""
        low, high = min(self.ratios()), max(self.ratios())
        before, after = (1000 * statistics.median(times) for times in (self.before, self.after))
        return (
            f"{self.name:<42} {before:>9.2f} ms {after:>9.2f} ms "
            f"{self.ratio():>5.2f} ({low:.2f} to {high:.2f}, {len(self.before)} rounds)"
        )


def geometric_mean(rows: list[Measured]) -> float:
    """Of the cases' ratios."""
    return math.exp(statistics.fmean(math.log(row.ratio()) for row in rows)) if rows else 1.0


def above(rows: list[Measured], each: float, mean: float) -> list[str]:
    """What is slower than it may be: a case's ratio above ``each``, their mean above ``mean``."""
    found = [f"{row.name} {row.ratio():.2f} (at most {each})" for row in rows if row.ratio() > each]
    overall = geometric_mean(rows)
    if overall > mean:
        found.append(f"the geometric mean {overall:.3f} (at most {mean})")
    return found
