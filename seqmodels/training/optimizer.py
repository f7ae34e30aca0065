"""Optimizers: what they share is clipping, weight decay and a schedule, and each has its direction.

A new one is a subclass of :class:`Descent`, and a line in :data:`OPTIMIZERS`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import optax
from optax import contrib

from seqmodels.arrays import Array, Params, PyTree
from seqmodels.config import Section, construct_kind
from seqmodels.errors import require, require_least, require_with, under
from seqmodels.parameters import About
from seqmodels.training.averaging import averaged
from seqmodels.training.schedules import CONSTANT, COSINE, Rate, make_rate

MUON_SIZE = 0.2
"""The root mean square of an update of a matrix, as that of AdamW is found to be."""
Evaluated = Callable[[Any, Params], Params]
"""Of an optimizer's state and the parameters those that are evaluated."""


class Optimizer(NamedTuple):
    """A gradient transformation by its learning rate, and what is evaluated."""

    along: Callable[[Rate], optax.GradientTransformation]
    """The transformation by any rate; its state has the same form by each."""
    learning_rate: Rate
    evaluated: Evaluated

    @property
    def transformation(self) -> optax.GradientTransformation:
        """By its own rate."""
        return self.along(self.learning_rate)


@dataclass(frozen=True)
class Descent:
    """Steps along a direction; the keys of a config's ``optimizer`` section that all kinds have."""

    learning_rate: float
    """The peak, of the warm-up's last update, or of the first without one."""
    warmup_steps: int = 0
    """Updates over which the rate grows evenly: update i, counted from 0, has
    ``learning_rate * (i + 1) / warmup_steps``."""
    final_learning_rate: float = 0.0
    """That of the last update, where the schedule from the peak ends. A run of one update has the
    peak."""
    weight_decay: float = 0.05
    """A step's, relative to the learning rate, of the parameters that decay."""
    clip_norm: float | None = 1.0
    """The largest global norm of a gradient; None does not clip."""
    schedule: Section = COSINE
    """``{"kind": a key of SCHEDULES, **settings}`` (:mod:`seqmodels.training.schedules`)."""
    average: float | None = None
    """What an average of the parameters keeps of itself at an update
    (:func:`~seqmodels.training.averaging.averaged`), which is then evaluated; None has none."""

    def __post_init__(self):
        rate, final, norm = self.learning_rate, self.final_learning_rate, self.clip_norm
        require(rate > 0, f"learning_rate={rate} is not above 0")
        require_least(0, final_learning_rate=final, weight_decay=self.weight_decay)
        require(norm is None or norm > 0, f"clip_norm={norm} is not above 0 or None")
        decay = self.average
        require(
            decay is None or 0 < decay < 1, f"average={decay} is not above 0 and below 1 or None"
        )

    def direction(self, parameters: PyTree[About]) -> optax.GradientTransformation:
        """From clipped gradients to what is taken off the parameters at a learning rate of 1."""
        raise NotImplementedError

    def path(
        self, descent: optax.GradientTransformation, rate: Rate
    ) -> optax.GradientTransformation:
        """What is done along a descent."""
        del rate
        return descent if self.average is None else averaged(descent, self.average)

    def evaluated(self, state: Any, params: Params) -> Params:
        """Of the path's state and the parameters what is evaluated: these, or their average."""
        return params if self.average is None else state.average

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
        peak, final = self.learning_rate, self.final_learning_rate
        rate = make_rate(self.schedule, peak, warmup, final, steps)
        decays = jax.tree.map(lambda about: about.decays, parameters)
        norm = self.clip_norm
        clip = optax.clip_by_global_norm(norm) if norm is not None else optax.identity()
        direction = self.direction(parameters)

        def along(rate: Rate) -> optax.GradientTransformation:
            descent = optax.chain(
                direction,
                optax.add_decayed_weights(self.weight_decay, decays),
                optax.scale_by_learning_rate(rate),
            )
            return optax.chain(clip, self.path(_with_shares(descent, parameters), rate))

        return Optimizer(along, rate, lambda state, params: self.evaluated(state[1], params))


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
        _require_fractions(beta1=self.beta1, beta2=self.beta2)

    def direction(self, parameters: PyTree[About]) -> optax.GradientTransformation:
        return optax.scale_by_adam(self.beta1, self.beta2)


@dataclass(frozen=True)
class Adam(AdamW):
    """AdamW as Adam was first given (Kingma and Ba 2015): without decay, unless one is set."""

    weight_decay: float = 0.0
    beta2: float = 0.999


@dataclass(frozen=True)
class Lion(Descent):
    """The sign of a mean of gradients (Chen et al. 2023), for a learning rate of a third to a tenth
    of AdamW's and as much more decay."""

    weight_decay: float = 0.5
    beta1: float = 0.9
    """What a step's mean keeps of the running one."""
    beta2: float = 0.99
    """What the running mean keeps of itself at an update."""

    def __post_init__(self):
        super().__post_init__()
        _require_fractions(beta1=self.beta1, beta2=self.beta2)

    def direction(self, parameters: PyTree[About]) -> optax.GradientTransformation:
        return optax.scale_by_lion(self.beta1, self.beta2)


@dataclass(frozen=True)
class Muon(AdamW):
    """Of each matrix the mean of gradients made nearly orthogonal, ``U V^T`` of ``U S V^T`` (Jordan
    2024), by five Newton-Schulz iterations; all else as AdamW.

    Matrices are what says so (:attr:`~seqmodels.parameters.About.matrix`): no embedding, head,
    bias or scale. Their update has a root mean square of 0.2, whatever their shape (Liu et al.
    2025), so that AdamW's learning rates and decays serve.
    """

    momentum: float = 0.95
    """What the mean of a matrix's gradients keeps of itself at an update."""

    def __post_init__(self):
        super().__post_init__()
        _require_fractions(momentum=self.momentum)

    def direction(self, parameters: PyTree[About]) -> optax.GradientTransformation:
        def axes(about: About) -> Any:
            if about.matrix is None:
                return optax.MaskedNode()
            return contrib.MuonDimensionNumbers(*about.matrix)

        def even(updates: Any, _: Any) -> Any:
            return jax.tree.map(_with_even_size, updates, matrices)

        matrices = jax.tree.map(axes, parameters)
        kinds = jax.tree.map(lambda a: "others" if a.matrix is None else "matrices", parameters)
        orthogonal = contrib.scale_by_muon(beta=self.momentum, weight_dimension_numbers=matrices)
        of: Any = {
            "matrices": optax.chain(orthogonal, optax.stateless(even)),
            "others": super().direction(parameters),
        }
        return optax.partition(of, kinds)


def _with_even_size(update: Array, axes: contrib.MuonDimensionNumbers) -> Array:
    """An orthogonal matrix times what makes its root mean square MUON_SIZE."""
    sides = [math.prod(update.shape[axis] for axis in side) for side in axes]  # type: ignore
    return update * (MUON_SIZE * math.sqrt(max(sides)))


@dataclass(frozen=True)
class ScheduleFree(AdamW):
    """AdamW whose mean is of the parameters in place of the gradients (Defazio et al. 2024).

    ``z`` takes AdamW's steps without a mean of gradients, ``x`` is the mean of all z, each by the
    square of the largest learning rate so far, and gradients are taken at
    ``y = (1 - beta1) z + beta1 x``. The run's parameters are y, and those that are evaluated x. No
    rate needs to fall: by default the peak stays.
    """

    schedule: Section = CONSTANT

    def __post_init__(self):
        super().__post_init__()
        require(self.beta1 > 0, f"beta1={self.beta1} is not above 0: gradients are taken near x")
        average = self.average
        require_with(average, False, "average", "kind='schedule_free'")

    def direction(self, parameters: PyTree[About]) -> optax.GradientTransformation:
        return optax.scale_by_rms(self.beta2, eps_in_sqrt=False, bias_correction=True)

    def path(
        self, descent: optax.GradientTransformation, rate: Rate
    ) -> optax.GradientTransformation:
        # Its own count of updates is one ahead of the descent's.
        return contrib.schedule_free(descent, lambda count: rate(count - 1), self.beta1)

    def evaluated(self, state: Any, params: Params) -> Params:
        return jax.jit(contrib.schedule_free_eval_params)(state, params)


@dataclass(frozen=True)
class RMSProp(Descent):
    """The gradient over the root of a running mean of its square (Tieleman and Hinton 2012);
    without decay, unless one is set."""

    weight_decay: float = 0.0
    beta2: float = 0.99
    """What that mean keeps of itself at an update."""

    def __post_init__(self):
        super().__post_init__()
        _require_fractions(beta2=self.beta2)

    def direction(self, parameters: PyTree[About]) -> optax.GradientTransformation:
        return optax.scale_by_rms(self.beta2, eps_in_sqrt=False, bias_correction=True)


@dataclass(frozen=True)
class SGD(Descent):
    """The gradient, or the sum of earlier ones that fades (Polyak 1964); without decay, unless one
    is set."""

    weight_decay: float = 0.0
    momentum: float = 0.9
    """What that sum keeps of itself at an update; 0 leaves the gradient."""
    nesterov: bool = False
    """Whether the gradient is added once more, as if the sum had moved on (Nesterov 1983)."""

    def __post_init__(self):
        super().__post_init__()
        _require_fractions(momentum=self.momentum)

    def direction(self, parameters: PyTree[About]) -> optax.GradientTransformation:
        return optax.trace(self.momentum, self.nesterov)


OPTIMIZERS: dict[str, type[Descent]] = {
    "adamw": AdamW,
    "adam": Adam,
    "lion": Lion,
    "muon": Muon,
    "schedule_free": ScheduleFree,
    "rmsprop": RMSProp,
    "sgd": SGD,
}
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


def _require_fractions(**settings: float) -> None:
    for name, value in settings.items():
        require(0 <= value < 1, f"{name}={value} is not at least 0 and below 1")


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
