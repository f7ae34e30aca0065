"""Optimizers: what they share is clipping, weight decay and a schedule, and each has its direction.

A new one is a subclass of :class:`Descent`, and a line in :data:`OPTIMIZERS`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from seqmodels.arrays import Array, PyTree
from seqmodels.config import Section, construct_kind
from seqmodels.errors import require, require_least, under
from seqmodels.parameters import About


class Optimizer(NamedTuple):
    """A gradient transformation and the schedule inside it, for logging."""

    transformation: optax.GradientTransformation
    learning_rate: Callable[[int], Any]


@dataclass(frozen=True)
class Descent:
    """Steps along a direction; the keys of a config's ``optimizer`` section that all kinds have."""

    learning_rate: float
    """The peak, of the warm-up's last update, or of the first without one."""
    warmup_steps: int = 0
    """Updates over which the rate grows evenly: update i, counted from 0, has
    ``learning_rate * (i + 1) / warmup_steps``."""
    final_learning_rate: float = 0.0
    """That of the last update, where the cosine from the peak ends. A run of one update has the
    peak."""
    weight_decay: float = 0.05
    """A step's, relative to the learning rate, of the parameters that decay."""
    clip_norm: float | None = 1.0
    """The largest global norm of a gradient; None does not clip."""

    def __post_init__(self):
        rate, final, norm = self.learning_rate, self.final_learning_rate, self.clip_norm
        require(rate > 0, f"learning_rate={rate} is not above 0")
        require_least(0, final_learning_rate=final, weight_decay=self.weight_decay)
        require(norm is None or norm > 0, f"clip_norm={norm} is not above 0 or None")

    def direction(self) -> optax.GradientTransformation:
        """From clipped gradients to what is taken off the parameters at a learning rate of 1."""
        raise NotImplementedError

    def over(self, steps: int, parameters: PyTree[About]) -> Optimizer:
        """The optimizer of so many updates, and of the tree of what parameters say of themselves.

        Raises:
          ParameterError: the warm-up is as long.
        """
        warmup = self.warmup_steps
        require(
            0 <= warmup < steps,
            f"warmup_steps={warmup} is not at least 0 and below train.steps={steps}; set "
            f"optimizer.warmup_steps={steps // 10}, a tenth of the steps, or another number below "
            "them",
        )
        schedule = _schedule(self.learning_rate, warmup, self.final_learning_rate, steps)
        decays = jax.tree.map(lambda about: about.decays, parameters)
        norm = self.clip_norm
        clip = optax.clip_by_global_norm(norm) if norm is not None else optax.identity()
        descent = optax.chain(
            self.direction(),
            optax.add_decayed_weights(self.weight_decay, decays),
            optax.scale_by_learning_rate(schedule),
        )
        return Optimizer(_with_shares(optax.chain(clip, descent), parameters), schedule)


@dataclass(frozen=True)
class AdamW(Descent):
    """The mean of gradients over the root of that of their squares, both running ones (Loshchilov
    and Hutter 2019)."""

    beta1: float = 0.9
    """What the mean of gradients keeps of itself at an update."""
    beta2: float = 0.98
    """The same of the squares."""

    def __post_init__(self):
        super().__post_init__()
        for name in ("beta1", "beta2"):
            value = getattr(self, name)
            require(0 <= value < 1, f"{name}={value} is not at least 0 and below 1")

    def direction(self) -> optax.GradientTransformation:
        return optax.scale_by_adam(self.beta1, self.beta2)


OPTIMIZERS: dict[str, type[Descent]] = {"adamw": AdamW}
USUAL = "adamw"
"""The kind of an ``optimizer`` section that states none."""


def make_optimizer(section: Section, steps: int, parameters: PyTree[About]) -> Optimizer:
    """That of a config's ``optimizer`` section, as :meth:`Descent.over` makes it.

    Raises:
      ConfigError: one line that names the key, its value and what is allowed.
    """
    whole = {"kind": USUAL, **dict(section.items())}
    settings = construct_kind(OPTIMIZERS, whole, "optimizer")
    with under("optimizer"):
        return settings.over(steps, parameters)


def _with_shares(
    whole: optax.GradientTransformation, parameters: PyTree[About]
) -> optax.GradientTransformation:
    """The same with each parameter's share of the learning rate, and the same state."""

    def share(update: Array, about: About) -> Array:
        return update if about.rate == 1 else update * about.rate

    def scaled(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, state = whole.update(updates, state, params)
        return jax.tree.map(share, updates, parameters), state

    return optax.GradientTransformation(whole.init, scaled)


def _schedule(peak: float, warmup: int, final: float, steps: int) -> Callable[[Any], Any]:
    """The learning rate of each update, counted from 0."""
    top = max(warmup - 1, 0)

    def rate(update: Any) -> Any:
        rising = peak * jnp.minimum((update + 1) / max(warmup, 1), 1.0)
        done = jnp.clip((update - top) / max(steps - 1 - top, 1), 0.0, 1.0)
        share = (1 + jnp.cos(math.pi * done)) / 2
        return jnp.where(update <= top, rising, peak * share + final * (1 - share))

    return rate
