"""Schedules: how the learning rate goes from its peak to its last value.

A new one is a subclass of :class:`Schedule`, and a line in :data:`SCHEDULES`.
"""

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import jax.numpy as jnp

from seqmodels.config import Section, construct_kind
from seqmodels.errors import require


@dataclass(frozen=True)
class Schedule:
    """The rate after the warm-up; its fields are the keys of ``optimizer.schedule``."""

    falls: ClassVar[bool] = True
    """Whether it ends at the final rate."""

    def remains(self, done: Any) -> Any:
        """The part of the way from the final rate to the peak that is left, 1 at the peak.

        ``done`` is the part of the updates after the peak that are done: 0 at the peak, 1 at the
        last update of all.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from the peak to the final rate (Loshchilov and Hutter 2017)."""

    def remains(self, done: Any) -> Any:
        return (1 + jnp.cos(math.pi * done)) / 2


@dataclass(frozen=True)
class Constant(Schedule):
    """The peak to the end."""

    falls: ClassVar[bool] = False

    def remains(self, done: Any) -> Any:
        return jnp.ones_like(done)


@dataclass(frozen=True)
class Linear(Schedule):
    """A line from the peak to the final rate."""

    def remains(self, done: Any) -> Any:
        return 1 - done


@dataclass(frozen=True)
class WarmupStableDecay(Schedule):
    """The peak, and at the end a line to the final rate (Hu et al. 2024, MiniCPM; Hägele et al.
    2024).
    """

    decay_share: float = 0.2
    """The part of the updates after the peak over which the rate falls, the last ones."""

    def __post_init__(self):
        share = self.decay_share
        require(0 < share <= 1, f"decay_share={share} is not above 0 and at most 1")

    def remains(self, done: Any) -> Any:
        return jnp.minimum((1 - done) / self.decay_share, 1.0)


SCHEDULES: dict[str, type[Schedule]] = {
    "cosine": Cosine,
    "constant": Constant,
    "linear": Linear,
    "wsd": WarmupStableDecay,
}
COSINE: Section = MappingProxyType({"kind": "cosine"})
CONSTANT: Section = MappingProxyType({"kind": "constant"})


@dataclass(frozen=True)
class Rate:
    """The learning rate of each update, counted from 0 to ``steps - 1``.

    Update i of a warm-up has ``peak * (i + 1) / warmup``. From the peak on, at update
    ``max(warmup - 1, 0)``, the schedule goes to the final rate at the last update. A run of one
    update has the peak.
    """

    schedule: Schedule
    warmup: int
    steps: int
    peak: Any
    """This and the final one may be traced: runs by other rates then share a program."""
    final: Any

    def __call__(self, update: Any) -> Any:
        top = max(self.warmup - 1, 0)
        rising = self.peak * jnp.minimum((update + 1) / max(self.warmup, 1), 1.0)
        done = jnp.clip((update - top) / max(self.steps - 1 - top, 1), 0.0, 1.0)
        remains = self.schedule.remains(done)
        falling = self.peak * remains + self.final * (1 - remains)
        return jnp.where(update <= top, rising, falling)


def make_rate(section: Section, peak: float, warmup: int, final: float, steps: int) -> Rate:
    """The rate by the schedule of a section ``{"kind": a key of SCHEDULES, **settings}``.

    Raises:
      ConfigError: one line that names the key, its value and what is allowed.
      ParameterError: a final rate that the schedule doesn't go to.
    """
    schedule = construct_kind(SCHEDULES, section, "optimizer.schedule")
    require(
        schedule.falls or final == 0,
        f"final_learning_rate={final} is never read with schedule.kind={section['kind']!r}; leave "
        "it 0",
    )
    return Rate(schedule, warmup, steps, peak, final)
