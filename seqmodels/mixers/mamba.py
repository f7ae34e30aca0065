"""Mamba: a state space model whose steps, inputs and readings depend on what is read."""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.errors import require
from seqmodels.layers import Linear
from seqmodels.mixers.base import Cost
from seqmodels.mixers.decays import inverse_softplus, log_steps, observe_decay
from seqmodels.mixers.diagonal import (
    BranchedMixer,
    expanded,
    require_states,
    scaled,
)
from seqmodels.mixers.short_convolution import Short
from seqmodels.ops.diagonal_recurrence import FormName
from seqmodels.ops.linear import linear
from seqmodels.ops.state_spaces import selective_state_space, state_space_depth
from seqmodels.parameters import parameter


class Mamba(BranchedMixer):
    """A selective state space model, S6, between gated projections (Gu and Dao 2023).

    ``y = W_y (silu(W_g x) * (s + d v))`` and ``v = silu(W_u x)``, after the block's short
    convolution of W_u x. In each of E channels with N states ``s_t = C_t h_t``,
    ``h_t = exp(delta_t A) h_{t-1} + delta_t B_t v_t``: ``B_t, C_t = W_B v_t, W_C v_t`` serve all
    channels, ``delta_t = softplus(V W_r v_t + b)`` is a channel's own. ``A = -exp(A_log)`` is
    -1 ... -N at first, and softplus(b) is spread evenly in logarithms between 0.001 and 0.1;
    neither decays.

    Args:
      states: N.
      expansion: E / D.
      step_rank: through how many features the steps are made; None for D / 16, rounded up.
      negative_eigenvalues: whether ``2 exp(delta_t A) - 1`` is in the place of the decay, from -1
        to 1 in place of 0 to 1 (Grazzi et al. 2025).
      short: the block's short convolution; where it ends in a SiLU, no other follows.
    """

    letters = "B N E"
    state_settings = ("states",)

    def __init__(
        self,
        width: int,
        states: int = 16,
        expansion: float = 2.0,
        step_rank: int | None = None,
        negative_eigenvalues: bool = False,
        form: FormName | None = None,
        *,
        short: Short | None = None,
        rngs: nnx.Rngs,
    ):
        inner = expanded(width, expansion)
        super().__init__(width, inner, short, form, rngs)
        require_states(states, inner)
        rank = math.ceil(width / 16) if step_rank is None else step_rank
        require(1 <= rank <= inner, f"step_rank={rank} is not at least 1 and at most {inner}")
        self.state_shape = (states, inner)
        self.negative_eigenvalues = negative_eigenvalues
        self.is_activated = short is not None and short.activation == "silu"
        self.B = Linear({"E": inner}, {"N": states}, rngs=rngs)
        self.C = Linear({"E": inner}, {"N": states}, rngs=rngs)
        self.step_inputs = Linear({"E": inner}, {"rank": rank}, rngs=rngs)
        bound = rank**-0.5
        weights = jax.random.uniform(rngs.params(), (rank, inner), minval=-bound, maxval=bound)
        self.step_weights = parameter(weights, ("rank", "E"), decays=True)
        steps = jnp.exp(log_steps(rngs.params(), (inner,)))
        self.step_bias = parameter(inverse_softplus(steps), "E", decays=False)
        A = jnp.broadcast_to(jnp.arange(1.0, states + 1)[None], (inner, states))
        self.A_log = parameter(jnp.log(A), "EN", decays=False)
        self.skip = parameter(jnp.ones((inner,)), "E", decays=False)

    def _run(self, u, state, valid):
        v = u if self.is_activated else jax.nn.silu(u)
        # Steps of 0.001 come from a sum near -7, of which bfloat16 would leave two digits.
        before = linear(self.step_inputs(v), self.step_weights[...]).astype(jnp.float32)
        delta = jax.nn.softplus(before + self.step_bias[...][None, None])
        A = -jnp.exp(self.A_log[...])
        observe_decay(lambda: self._log_decays(delta, A), valid)
        B, C = self.B(v), self.C(v)
        y, state = selective_state_space(
            delta, A, B, C, v, state, valid, self.form, negative=self.negative_eigenvalues
        )
        return y + scaled(v, self.skip[...]), state

    def _log_decays(self, delta, A):
        """Logs of their sizes: [B, L, 1, N, E]."""
        logs = delta[:, :, None, None] * A.T[None, None, None]
        if not self.negative_eigenvalues:
            return logs
        return jnp.log(jnp.maximum(jnp.abs(2 * jnp.exp(logs) - 1), 1e-30))

    def _activate(self, gate):
        return jax.nn.silu(gate)

    def cost(self, length: int) -> Cost:
        """The projections, and of each state a multiply-add and one to read it."""
        (states, inner), rank = self.state_shape, self.step_weights.shape[0]
        products = inner * (3 * self.width + 2 * rank + 2 * states) + 2 * states * inner
        depth = state_space_depth(length, self.form) + self.short.depth
        return Cost(length * 2 * products, self.state_bytes(length), depth)
