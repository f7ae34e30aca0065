"""Linear attention, and its descendants that forget: retention and gated linear attention."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from seqmodels.errors import require, require_least
from seqmodels.layers import Axes, Linear, NormKind
from seqmodels.mixers.matrix_state import HeadMixer
from seqmodels.mixers.short_convolution import Short
from seqmodels.ops.positions import rotate

SMALLEST = 1e-6
"""Added to a sum of weights before it divides."""
TEMPERATURE = 16
"""The root that is taken of gated linear attention's decays (Yang et al. 2024, section 4.4)."""


@dataclass(eq=False, repr=False)
class LinearAttention(HeadMixer):
    """Attention without a softmax, as a recurrence (Katharopoulos et al. 2020).

    ``S_t = S_{t-1} + f(k_t) v_t^T``, ``z_t = z_{t-1} + f(k_t)``, and each head's output is
    ``S_t^T f(q_t) / z_t . f(q_t)``; nothing is forgotten.

    Args:
      features: f: "elu" is elu(x) + 1, "relu", or "identity", x itself.
      normalised: whether outputs are divided by the sum of their weights, which takes features that
        aren't negative; else queries are scaled by 1 / sqrt(K).
    """

    features: Literal["elu", "relu", "identity"] = "elu"
    normalised: bool = True
    head_norm: NormKind = "none"
    output_gate: bool = False

    products = 2

    def _begin(self, rngs):
        require(
            self.features != "identity" or not self.normalised,
            "features='identity' may be negative, and normalised=True divides by their sums; "
            "set normalised=False, or features to 'elu' or 'relu'",
        )
        self.sums = self.normalised

    def _run(self, x, projected, state, context):
        maps = {"elu": lambda x: jax.nn.elu(x) + 1, "relu": jax.nn.relu, "identity": lambda x: x}
        query, key = (maps[self.features](projected[name]) for name in ("queries", "keys"))
        value = projected["values"]
        if not self.sums:
            return self._remember(query / self.key_width**0.5, key, value, None, state, context)
        mixed, after = self._remember(query, key, value, None, state, context)
        return mixed[..., :-1] / (mixed[..., -1:] + SMALLEST), after


@dataclass(eq=False, repr=False)
class Retention(HeadMixer):
    """Linear attention that forgets at a fixed rate (RetNet, Sun et al. 2023).

    ``S_t = g_h S_{t-1} + k_t v_t^T`` with ``g_h = 1 - 2^(-5 - h)`` for heads h = 0 ... H - 1;
    queries and keys, of an even width K, are turned by their positions. Outputs are gated by
    ``silu(G x_t)``. The norm makes the paper's scales of retention scores needless.
    """

    value_expansion: float = 2.0

    def _widths(self):
        K, U = super()._widths()
        require(
            K % 2 == 0,
            f"heads={self.heads} and key_expansion={self.key_expansion} make keys of {K} features "
            "a head, and these are turned in pairs",
        )
        return K, U

    def _run(self, x, projected, state, context):
        assert context.positions is not None
        query = rotate(projected["queries"], context.positions) / self.key_width**0.5
        key = rotate(projected["keys"], context.positions)
        log_decay = np.log1p(-(2.0 ** (-5 - np.arange(self.heads)))).astype(np.float32)
        log_decay = jnp.broadcast_to(log_decay.reshape(1, 1, -1), query.shape[:3])
        return self._remember(query, key, projected["values"], log_decay, state, context)


@dataclass(eq=False, repr=False)
class GatedLinearAttention(HeadMixer):
    """Linear attention whose keys each forget as the input says (GLA, Yang et al. 2024).

    ``S_t = diag(a_t) S_{t-1} + k_t v_t^T`` with ``a_t = sigmoid(A_2 A_1 x_t + b)^(1/16)``. Outputs
    are gated by ``silu(G x_t)``.

    Args:
      decay_rank: how many features lie between A_1 and A_2.
    """

    key_expansion: float = 0.5
    decay_rank: int = 16

    def __post_init__(self, rngs: nnx.Rngs, short: Short | None) -> None:
        require_least(1, decay_rank=self.decay_rank)
        super().__post_init__(rngs, short)

    def _begin(self, rngs):
        between: Axes = {"features": self.decay_rank}
        self.decay_down = Linear({"D": self.width}, between, rngs=rngs)
        self.decays = Linear(between, self._axes()["keys"], rngs=rngs)

    def _run(self, x, projected, state, context):
        decays = self.decays(self.decay_down(x)).astype(jnp.float32)
        log_decay = jax.nn.log_sigmoid(decays) / TEMPERATURE
        query, key, value = (projected[name] for name in ("queries", "keys", "values"))
        return self._remember(query / self.key_width**0.5, key, value, log_decay, state, context)
