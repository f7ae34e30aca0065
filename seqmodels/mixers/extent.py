"""What a kernel sees around each position: convolution and local attention mean the same by it."""

import itertools
import math
from typing import NamedTuple

from seqmodels.errors import ParameterError, require, require_least
from seqmodels.mixers.base import Mixer

MOST_SEEN = 2**20
"""Positions that an output of a kernel sees at most."""
FARTHEST = 2**24
"""Positions between its first and its last at most."""


class Extent(NamedTuple):
    """A kernel on a sequence or a grid."""

    kernel: tuple[int, ...]
    """How many positions are seen along each axis."""
    dilation: int
    """The distance between them."""
    causal: bool
    """Whether none is later than the output's own on the first axis."""
    stride: int
    """The distance between the positions that have an output."""

    @classmethod
    def of(
        cls, kernel: int | tuple[int, ...], dilation: int, causal: bool, stride: int
    ) -> "Extent":
        """Checks a mixer's settings; raises ParameterError."""
        sizes = (kernel,) if isinstance(kernel, int) else tuple(kernel)
        require(1 <= len(sizes) <= 3, f"kernel={kernel} has {len(sizes)} numbers, not 1 to 3")
        require(min(sizes) >= 1, f"kernel={kernel} is below 1")
        require(
            math.prod(sizes) <= MOST_SEEN,
            f"kernel={kernel} sees {math.prod(sizes):,} positions, above {MOST_SEEN:,}; lower it",
        )
        require_least(1, dilation=dilation, stride=stride)
        require(
            max(sizes) * dilation <= FARTHEST,
            f"dilation={dilation} puts the ends of kernel={kernel} farther apart than {FARTHEST:,} "
            "positions; lower it",
        )
        for axis, size in enumerate(sizes):
            if size % 2 == 0 and not (causal and axis == 0):
                where = "" if len(sizes) == 1 else f" on axis {axis}"
                raise ParameterError(
                    f"kernel={kernel} has no centre{where}; a centred convolution or attention "
                    "(causal=False, and all axes but the first) needs an odd one"
                )
        return cls(sizes, dilation, causal, stride)

    def reach(self) -> tuple[int, ...]:
        """How far apart the first and the last position seen lie, along each axis."""
        return tuple((size - 1) * self.dilation for size in self.kernel)

    def edges(self) -> tuple[tuple[int, int], ...]:
        """How many positions before the first and after the last of an axis are seen."""
        return tuple(
            (reach, 0) if self.causal and axis == 0 else (reach // 2, reach // 2)
            for axis, reach in enumerate(self.reach())
        )

    def offsets(self) -> list[tuple[int, ...]]:
        """Where the positions seen lie, counted from the output's own."""
        starts = [before for before, _ in self.edges()]
        places = itertools.product(*map(range, self.kernel))
        return [
            tuple(i * self.dilation - start for i, start in zip(place, starts, strict=True))
            for place in places
        ]


class ExtentMixer(Mixer):
    """What mixers with an extent have in common; see :class:`Extent` for the arguments."""

    rank: int
    state_settings = ("kernel",)

    def __init__(
        self, width: int, kernel: int | tuple[int, ...], dilation: int, causal: bool, stride: int
    ):
        self.width = width
        self.extent = Extent.of(kernel, dilation, causal, stride)
        self.causal = causal
        self.rank = len(self.extent.kernel)
        self.stride = stride

    @property
    def volume(self) -> int:
        """How many positions an output sees."""
        return math.prod(self.extent.kernel)

    def made(self, length: int | tuple[int, ...]) -> int:
        """How many outputs a sequence or a grid has."""
        axes = (length,) if isinstance(length, int) else length
        return math.prod(-(-axis // self.stride) for axis in axes)
