"""AdamW with warm-up, cosine decay and clipping."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from seqmodels.arrays import Array, PyTree
from seqmodels.errors import require
from seqmodels.parameters import About


class Optimizer(NamedTuple):
    """A gradient transformation and the schedule inside it, for logging."""

    transformation: optax.GradientTransformation
    learning_rate: Callable[[int], Any]


def make_optimizer(
    learning_rate: float,
    warmup_steps: int = 0,
    final_learning_rate: float = 0.0,
    weight_decay: float = 0.05,
    beta1: float = 0.9,
    beta2: float = 0.98,
    clip_norm: float | None = 1.0,
    *,
    steps: int,
    parameters: PyTree[About],
) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019); its arguments are a config's ``optimizer`` section.

    Args:
      learning_rate: the peak, of the warm-up's last update, or of the first without one.
      warmup_steps: updates over which the rate grows evenly: update i, counted from 0, has
        ``learning_rate * (i + 1) / warmup_steps``.
      final_learning_rate: that of the last update, where the cosine from the peak ends. A run
        of one update has the peak.
      weight_decay: decay per step relative to the learning rate, of the parameters that decay.
      clip_norm: the largest global norm of a gradient; None does not clip.
      parameters: what each parameter says of itself, in the tree that is optimised.
    """
    require(learning_rate > 0, f"learning_rate={learning_rate} is not above 0")
    require(final_learning_rate >= 0, f"final_learning_rate={final_learning_rate} is below 0")
    require(
        0 <= warmup_steps < steps,
        f"warmup_steps={warmup_steps} is not at least 0 and below train.steps={steps}; set "
        f"optimizer.warmup_steps={steps // 10}, a tenth of the steps, or another number below them",
    )
    require(weight_decay >= 0, f"weight_decay={weight_decay} is below 0")
    require(0 <= beta1 < 1, f"beta1={beta1} is not at least 0 and below 1")
    require(0 <= beta2 < 1, f"beta2={beta2} is not at least 0 and below 1")
    require(clip_norm is None or clip_norm > 0, f"clip_norm={clip_norm} is not above 0 or None")
    schedule = _schedule(learning_rate, warmup_steps, final_learning_rate, steps)
    adamw = optax.adamw(
        schedule,
        b1=beta1,
        b2=beta2,
        weight_decay=weight_decay,
        mask=jax.tree.map(lambda about: about.decays, parameters),
    )
    clip = optax.clip_by_global_norm(clip_norm) if clip_norm is not None else optax.identity()
    return Optimizer(_with_shares(optax.chain(clip, adamw), parameters), schedule)


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
