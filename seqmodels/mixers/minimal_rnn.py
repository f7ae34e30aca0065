"""Minimal recurrent networks, whose gates see the input alone: a linear recurrence in h."""

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Float
from seqmodels.layers import Linear
from seqmodels.mixers.base import Cost
from seqmodels.mixers.decays import observe_decay
from seqmodels.mixers.diagonal import DiagonalMixer, expanded
from seqmodels.ops.diagonal_recurrence import FormName, diagonal_recurrence, sequential_depth


class _Minimal(DiagonalMixer):
    """What the two share: a projection, ``h_t = a_t h_{t-1} + i_t v_t``, and one back where E > D.

    Args:
      expansion: E / D; with 1 the outputs are h itself.
      log_space: whether values are ``g(v)``, v + 1/2 from 0 on and sigmoid(v) below (appendix B.3
        of the paper). h is positive then, which its logarithms need; here sums of products of
        numbers below 1 serve both.
    """

    gates: int
    state_letters = "B E"
    state_settings = ("expansion",)

    def __init__(
        self,
        width: int,
        expansion: float = 1.0,
        log_space: bool = False,
        form: FormName | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        super().__init__(width, form)
        inner = expanded(width, expansion)
        self.state_shape = (inner,)
        self.log_space = log_space
        self.inputs = Linear({"D": width}, {"gates": self.gates, "E": inner}, rngs=rngs)
        same = inner == width
        self.outputs = None if same else Linear({"E": inner}, {"D": width}, rngs=rngs)

    def _run(self, x, state, valid):
        *gates, value = jnp.unstack(self.inputs(x), axis=2)
        forget = self._forget(*(gate.astype(jnp.float32) for gate in gates))
        if self.log_space:
            value = jnp.where(value >= 0, value + 0.5, jax.nn.sigmoid(value))
        written = (jax.nn.sigmoid(forget) * value).astype(x.dtype)
        observe_decay(lambda: jax.nn.log_sigmoid(-forget)[:, :, None], valid)
        h, state = diagonal_recurrence(jax.nn.sigmoid(-forget), written, state, valid, self.form)
        return h if self.outputs is None else self.outputs(h), state

    def _forget(self, *gates: Float[Array, "B L E"]) -> Float[Array, "B L E"]:
        """log(i_t / a_t), of which a_t + i_t = 1."""
        raise NotImplementedError

    def cost(self, length: int) -> Cost:
        """The projections, and a multiply-add of each state a position."""
        (inner,) = self.state_shape
        products = self.gates * self.width * inner + inner
        products += self.width * inner if self.outputs is not None else 0
        return Cost(
            flops=2 * length * products,
            state_bytes=self.state_bytes(length),
            sequential_depth=sequential_depth(length, self.form),
        )


class MinGRU(_Minimal):
    """``h_t = (1 - z_t) h_{t-1} + z_t v_t`` (Feng et al. 2024).

    ``z = sigmoid(W_z x)``, ``v = W_v x``: a GRU without a reset, whose gate doesn't see h.
    """

    gates = 2

    def _forget(self, z):
        return z


class MinLSTM(_Minimal):
    """``h_t = f_t / (f_t + i_t) h_{t-1} + i_t / (f_t + i_t) v_t`` (Feng et al. 2024).

    ``f, i = sigmoid(W_f x), sigmoid(W_i x)``, ``v = W_v x``: an LSTM whose gates don't see h, whose
    size doesn't depend on time, and that has one state.
    """

    gates = 3

    def _forget(self, f, i):
        return jax.nn.softplus(-f) - jax.nn.softplus(-i)
