"""Mamba-2: a state-space model whose decay is one number a head, and so a matrix state."""

from dataclasses import InitVar, dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array
from seqmodels.errors import require
from seqmodels.layers import Axes, Linear, Norm
from seqmodels.mixers.base import features_of_a_head
from seqmodels.mixers.decays import StepDecay
from seqmodels.mixers.matrix_state import WIDEST_HEAD, MatrixMixer
from seqmodels.mixers.short_convolution import Short
from seqmodels.parameters import parameter


@dataclass(eq=False, repr=False)
class SharedKeys(MatrixMixer):
    """A matrix mixer whose keys and queries, N wide, are the same for all heads.

    Args:
      heads: the number of heads H, which divides E, the inner width; each value has U = E / H.
      expansion: E / D.
      state_size: N.
    """

    expansion: float = 2.0
    state_size: int = 128

    state_settings = ("state_size",)

    def _widths(self):
        require(
            1 <= self.state_size <= WIDEST_HEAD,
            f"state_size={self.state_size} is not from 1 to {WIDEST_HEAD:,}",
        )
        of_values = features_of_a_head(self.width, self.heads, "expansion", self.expansion)
        return self.state_size, of_values

    def _axes(self) -> dict[str, Axes]:
        shared: Axes = {"N": self.key_width}
        values: Axes = {"H": self.heads, "U": self.value_width}
        return {"queries": shared, "keys": shared, "values": values}

    @property
    def state_letters(self) -> dict[str, Any]:
        """The matrices, and what is still convolved."""
        return super().state_letters | {"matrix": "B H N U"}


@dataclass(eq=False, repr=False)
class Mamba2(SharedKeys):
    """State-space duality (Mamba-2, Dao and Gu 2024).

    ``S_t = a_t S_{t-1} + B_t (dt_t x_t)^T`` with ``a_t = exp(-exp(A_log) dt_t)`` and
    ``dt_t = softplus(W x_t + dt_bias)``; ``y_t = S_t^T C_t + D x_t``. B (keys) and C (queries) are
    shared by the heads, and x (values), B and C pass through silu. The outputs of all heads are
    multiplied by ``silu(z_t)``, normalised together, and projected.

    Mamba-2's own convolution of x, B and C is the block's short convolution; without that there is
    none.

    Args:
      short: the block's short convolution, of x, B and C, before silu.
    """

    short: InitVar[Any] = None

    convolved = ("queries", "keys", "values")

    def __post_init__(self, rngs: nnx.Rngs, short: Short | None) -> None:
        self._make(rngs, short)

    def _begin(self, rngs):
        E = self.heads * self.value_width
        self.gates = Linear({"D": self.width}, {"E": E}, rngs=rngs)
        self.steps = Linear({"D": self.width}, {"H": self.heads}, rngs=rngs)
        self.decay = StepDecay({"H": self.heads}, 1.0, rngs=rngs)
        self.skip = parameter(jnp.ones((self.heads,)), "H", decays=False)
        self.norm = Norm(E, "rms", "E", rngs=rngs)
        self.outputs = Linear({"E": E}, {"D": self.width}, rngs=rngs)

    def _run(self, x, projected, state, context):
        query, key, value = (jax.nn.silu(projected[n]) for n in ("queries", "keys", "values"))
        query, key = query[:, :, None], key[:, :, None]
        steps = self.decay.steps(self.steps(x))
        written = (value * steps[..., None]).astype(value.dtype)
        log_decay = self.decay.log(steps)
        mixed, after = self._remember(query, key, written, log_decay, state, context)
        return mixed + value * self.skip[...].astype(x.dtype).reshape(1, 1, -1, 1), after

    def _finish(self, mixed: Array, x: Array) -> Array:
        """Of all heads together: the gate first, then the norm."""
        gated = mixed.reshape(*mixed.shape[:2], -1) * jax.nn.silu(self.gates(x))
        return self.outputs(self.norm(gated))
