"""Linear recurrent units: complex with constant decays, and real with gated ones."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.errors import require
from seqmodels.mixers.base import Cost
from seqmodels.mixers.decays import inverse_softplus, observe_decay
from seqmodels.mixers.diagonal import (
    BranchedMixer,
    Gate,
    GateKind,
    SharedStates,
    expanded,
)
from seqmodels.mixers.short_convolution import Short
from seqmodels.ops.diagonal_recurrence import FormName, diagonal_recurrence, sequential_depth
from seqmodels.ops.linear import linear_in_blocks
from seqmodels.parameters import parameter


class LRU(SharedStates):
    """``h_t = l h_{t-1} + exp(gamma) B x_t``, ``y_t = Re(C h_t) + d x_t`` (Orvieto et al. 2023).

    ``l = exp(-exp(nu) + i exp(theta))``: N complex states, whose decays are drawn evenly on a ring;
    then a :class:`~seqmodels.mixers.diagonal.Gate`. nu, theta, gamma and B learn at half the rate
    and don't decay.

    Args:
      states: N; None for D.
      r_min: the ring's inner radius, ...
      r_max: ... its outer one, below which every modulus lies at first: nearer to 1, longer memory.
      max_phase: how far round it goes, in radians.
      gate: what stands after it.
    """

    def __init__(
        self,
        width: int,
        states: int | None = None,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        gate: GateKind = "full",
        form: FormName | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        super().__init__(width, states, form)
        require(
            0 <= r_min < r_max <= 1,
            f"r_min={r_min} and r_max={r_max} are no ring within the unit circle; it takes "
            "0 <= r_min < r_max <= 1",
        )
        require(
            0 < max_phase <= 2 * math.pi, f"max_phase={max_phase} is not above 0 and at most 2 pi"
        )
        N = self.states
        self.state_shape = (N,)
        even, turn = (
            jax.random.uniform(rngs.params(), (N,), minval=1e-6) for _ in range(2)
        )  # 0 has no logarithm
        square = even * (r_max**2 - r_min**2) + r_min**2
        slow = partial(parameter, decays=False, rate=0.5)
        self.nu_log = slow(jnp.log(-0.5 * jnp.log(square)), "N")
        self.theta_log = slow(jnp.log(max_phase * turn), "N")
        self.gamma_log = slow(0.5 * jnp.log1p(-square), "N")
        B = jax.random.normal(rngs.params(), (width, N, 2)) / math.sqrt(2 * width)
        C = jax.random.normal(rngs.params(), (N, width, 2)) / math.sqrt(N)
        self.B = slow(B, ("D", "N", "parts"))
        self.C = parameter(C, ("N", "D", "parts"), decays=True)
        self.skip = parameter(jax.random.normal(rngs.params(), (width,)), "D", decays=False)
        self.gate = Gate(width, gate, rngs=rngs)

    def _transition(self):
        log_modulus, phase = -jnp.exp(self.nu_log[...]), jnp.exp(self.theta_log[...])
        modulus = jnp.exp(log_modulus)
        decay = modulus * jnp.cos(phase), modulus * jnp.sin(phase)
        return log_modulus, decay, self.B[...] * jnp.exp(self.gamma_log[...])[None, :, None]


STRENGTH = 8.0
"""c of the paper: how much faster than at the slowest the RG-LRU forgets where its gate is open."""
SMALLEST = 2.5e-7
"""Where the root's derivative ends, at 1,000; that of 0 would be infinite."""


class RGLRU(BranchedMixer):
    """Griffin's recurrent block about a real-gated linear recurrent unit (De et al. 2024).

    ``y = W_y (gelu(W_g x) * h)``; of ``u = W_u x``, which takes the block's short convolution,
    ``r, i = sigmoid(W_r u + b_r), sigmoid(W_i u + b_i)``, ``a_t = exp(-8 softplus(Lambda) r_t)``,
    ``h_t = a_t h_{t-1} + sqrt(1 - a_t^2) (i_t u_t)``. At first a_t lies between 0.9 and 0.999 where
    r = 1. It begins from h = 0 as any other position; the released model leaves the root out there.

    Args:
      expansion: E / D, the paper's 4/3.
      heads: into how many blocks W_r and W_i are cut, each on its share of E: the paper's models
        have 16, so that devices can share them.
    """

    letters = "B E"
    state_settings = ("expansion",)

    def __init__(
        self,
        width: int,
        expansion: float = 4 / 3,
        heads: int = 1,
        form: FormName | None = None,
        *,
        short: Short | None = None,
        rngs: nnx.Rngs,
    ):
        inner = expanded(width, expansion)
        super().__init__(width, inner, short, form, rngs)
        require(
            heads >= 1 and inner % heads == 0,
            f"heads={heads} does not divide the {inner} features that expansion={expansion} makes",
        )
        self.state_shape = (inner,)
        share = inner // heads
        draw = nnx.initializers.lecun_normal(in_axis=1, out_axis=2, batch_axis=0)
        weights = draw(rngs.params(), (heads, share, 2 * share)).reshape(heads, share, 2, share)
        self.weights = parameter(weights, ("H", "K", "gates", "K"), decays=True)
        self.bias = parameter(jnp.zeros((heads, 2, share)), ("H", "gates", "K"), decays=False)
        slowest = jax.random.uniform(rngs.params(), (inner,), minval=0.9, maxval=0.999)
        self.decay = parameter(inverse_softplus(-jnp.log(slowest) / STRENGTH), "E", decays=False)

    def _run(self, u, state, valid):
        recurrence, entry = self._gates(u)
        log_decay = -STRENGTH * jax.nn.softplus(self.decay[...])[None, None] * recurrence
        observe_decay(lambda: log_decay[:, :, None], valid)
        if valid is not None:  # or the root's derivative where nothing is written might be infinite
            log_decay = jnp.where(valid[:, :, None], log_decay, -1.0)
        root = jnp.sqrt(jnp.maximum(-jnp.expm1(2 * log_decay), SMALLEST))
        written = (root * entry * u).astype(u.dtype)
        return diagonal_recurrence(jnp.exp(log_decay), written, state, valid, self.form)

    def _activate(self, gate):
        return nnx.gelu(gate)

    def _gates(self, u):
        """r and i, in float32."""
        weights = self.weights[...]
        heads, share = weights.shape[:2]
        made = linear_in_blocks(u, weights.reshape(heads, share, 2 * share))
        made = made.reshape(*u.shape[:2], heads, 2, share).astype(jnp.float32)
        r, i = jnp.unstack(jax.nn.sigmoid(made + self.bias[...][None, None]), axis=3)
        return r.reshape(u.shape), i.reshape(u.shape)

    def cost(self, length: int) -> Cost:
        """The projections, the gates' blocks, and a multiply-add of each state a position."""
        (inner,), (heads, *_) = self.state_shape, self.weights.shape
        products = 3 * self.width * inner + 2 * inner**2 // heads + inner
        depth = sequential_depth(length, self.form) + self.short.depth
        return Cost(length * 2 * products, self.state_bytes(length), depth)
