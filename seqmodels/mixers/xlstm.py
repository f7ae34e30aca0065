"""xLSTM: LSTMs with exponential gates, one with a matrix as its state and one with gates that see
the last output.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from seqmodels.arrays import Array, Float, State
from seqmodels.layers import Linear, Norm, NormKind
from seqmodels.mixers.base import Context, Cost, Mixer, features_of_a_head
from seqmodels.mixers.decays import observe_decay, observe_norms
from seqmodels.mixers.matrix_state import HeadMixer
from seqmodels.mixers.short_convolution import Short, ShortConvolutions
from seqmodels.ops import slstm
from seqmodels.ops.matrix_state import matrix_norms
from seqmodels.ops.running import previous, running_max, running_sum
from seqmodels.parameters import parameter

LOWEST = -1e30
"""The log of an input gate that is shut."""
CAP = 15.0
"""Gates' logits stay below it, by ``CAP * tanh(x / CAP)``."""
_CELL = ("h", "c", "n", "m")


@dataclass(eq=False, repr=False)
class MLSTM(HeadMixer):
    """An LSTM with a matrix as its state (Beck et al. 2024, section 2.3).

    ``C_t = f_t C_{t-1} + i_t k_t v_t^T``, ``n_t = f_t n_{t-1} + i_t k_t``, and each head's output
    is ``C_t^T q_t / max(|n_t . q_t|, 1)`` with ``f_t = sigmoid(w_f x_t + b_f)``,
    ``i_t = exp(w_i x_t + b_i)``. C and n are kept times exp(-m_t), where m is the largest log of
    what gates have let in, so that nothing overflows; outputs don't depend on m. They are
    normalised by head, gated by ``sigmoid(G x_t)`` and projected, as in xLSTM 7B (Beck et al.
    2025), whose caps of the gates' logits at 15 are here too. The short convolution is of queries
    and keys alone.
    """

    key_expansion: float = 0.5
    head_norm: NormKind = "layer"

    sums = True
    convolved = ("queries", "keys")
    gate = "sigmoid"

    def _begin(self, rngs):
        self.input_gate = Linear({"D": self.width}, {"H": self.heads}, rngs=rngs)
        self.forget_gate = Linear({"D": self.width}, {"H": self.heads}, rngs=rngs)
        for gate in (self.input_gate, self.forget_gate):
            gate.weights[...] = jnp.zeros_like(gate.weights[...])
        self.input_gate.bias[...] = 0.1 * jax.random.normal(rngs.params(), (self.heads,))
        self.forget_gate.bias[...] = jnp.linspace(3.0, 6.0, self.heads)

    @property
    def state_letters(self) -> dict[str, Any]:
        """The matrices, n and m, and what is still convolved."""
        return super().state_letters | {"largest": "B H"}

    def initial_state(self, batch_size: int, room: int) -> State:
        """Zeros, in float32; any number of positions may follow."""
        largest = jnp.zeros((batch_size, self.heads), jnp.float32)
        return super().initial_state(batch_size, room) | {"largest": largest}

    def _run(self, x, projected, state, context):
        log_input, log_forget = (
            CAP * jnp.tanh(gate(x).astype(jnp.float32) / CAP)
            for gate in (self.input_gate, self.forget_gate)
        )
        log_forget = jax.nn.log_sigmoid(log_forget)
        if context.valid is not None:
            valid = context.valid[:, :, None]
            log_input = jnp.where(valid, log_input, LOWEST)
            log_forget = jnp.where(valid, log_forget, 0.0)
        # Outputs don't depend on m, and so have no gradient by it.
        now = lax.stop_gradient(_largest(log_forget, log_input, state["largest"]))
        before = previous(now, lax.stop_gradient(state["largest"]))
        query, key, value = (projected[name] for name in ("queries", "keys", "values"))

        def norms():  # of C, and not of what is kept of it
            written = key * jnp.exp(log_input)[..., None]
            matrix = state["matrix"] * jnp.exp(state["largest"])[..., None, None]
            return matrix_norms(written, value, log_forget, matrix)

        observe_decay(lambda: log_forget, context.valid)
        observe_norms(norms, context.valid)
        weighed = (key * jnp.exp(log_input - now)[..., None]).astype(key.dtype)
        mixed, after = self._carry(
            query / self.key_width**0.5, weighed, value, log_forget + before - now, state, context
        )
        least = jnp.exp(jnp.minimum(-now, 80.0))[..., None].astype(mixed.dtype)
        mixed = mixed[..., :-1] / jnp.maximum(jnp.abs(mixed[..., -1:]), least)
        return mixed, after | {"largest": now[:, -1]}


def _largest(
    log_forget: Float[Array, "B L H"], log_input: Float[Array, "B L H"], start: Float[Array, "B H"]
) -> Float[Array, "B L H"]:
    """``m_t = max(log f_t + m_{t-1}, log i_t)``."""
    decayed = running_sum(log_forget)
    return decayed + jnp.maximum(start[:, None], running_max(log_input - decayed))


class SLSTM(Mixer):
    """An LSTM with exponential gates and a normaliser (Beck et al. 2024, section 2.2).

    ``c_t = f c_{t-1} + i tanh(z)``, ``n_t = f n_{t-1} + i``, ``h_t = sigmoid(o) c_t / n_t`` with
    ``f = sigmoid(...)``, ``i = exp(...)``, each logit ``W x_t + R h_{t-1} + b`` with an R within
    each head. Outputs are normalised by head; there is no projection after them. R and the biases
    begin at 0, but those of f at ``5 - 12 (k / (K - 1))^0.3`` for a head's features k: the official
    code's of a first block.

    Args:
      heads: the number of heads H, which divides D.
      head_norm: the norm of each head's outputs.
      short: the block's short convolution, of what x adds to the gates i and f.
    """

    causal = True
    divisible = False
    convolved = ("input_gate", "forget_gate")

    def __init__(
        self,
        width: int,
        heads: int = 4,
        head_norm: NormKind = "layer",
        *,
        short: Short | None = None,
        rngs: nnx.Rngs,
    ):
        K = features_of_a_head(width, heads)
        self.heads, self.head_width = heads, K
        axes = {"H": heads, "K": K}
        self.input_gate = Linear({"D": width}, axes, rngs=rngs)
        self.forget_gate = Linear({"D": width}, axes, rngs=rngs)
        self.cell_input = Linear({"D": width}, axes, rngs=rngs)
        self.output_gate = Linear({"D": width}, axes, rngs=rngs)
        bias = 5 - 12 * jnp.linspace(0, 1, K) ** 0.3
        self.forget_gate.bias[...] = jnp.tile(bias[None], (heads, 1))
        zeros = jnp.zeros((heads, K, 4, K))
        self.recurrent = parameter(zeros, ("H", "K", "gates", "K"), decays=True)
        self.norm = Norm(K, head_norm, "K", rngs=rngs)
        self.short = ShortConvolutions(short, dict.fromkeys(self.convolved, axes), rngs=rngs)

    @property
    def state_letters(self) -> dict[str, Any]:
        """What the cell keeps, and what is still convolved."""
        return dict.fromkeys(_CELL, "B H K") | self.short.state_letters

    def initial_state(self, batch_size: int, room: int) -> State:
        """Nothing read: h, c and n are 0 and m is the least there is, in float32."""
        zeros = jnp.zeros((batch_size, self.heads, self.head_width), jnp.float32)
        cell = dict.fromkeys(_CELL, zeros) | {"m": zeros + slstm.LOWEST}
        return cell | self.short.initial_state(batch_size)

    def mix(
        self, x: Float[Array, "B L D"], state: State | None, context: Context
    ) -> tuple[Float[Array, "B L D"], State]:
        """Runs from the state; padding carries it unchanged."""
        kept = state if isinstance(state, dict) else self.initial_state(len(x), 0)
        projected = {
            "input_gate": self.input_gate(x),
            "forget_gate": self.forget_gate(x),
            "cell_input": self.cell_input(x),
            "output_gate": self.output_gate(x),
        }
        projected, short = self.short(projected, state, context)
        inputs = jnp.stack([*projected.values()], axis=2)
        h, c, n, m = (kept[name] for name in _CELL)
        outputs, after = slstm.slstm(inputs, self.recurrent[...], (h, c, n, m), context.valid)
        observe_decay(
            lambda: slstm.log_forget(inputs, self.recurrent[...], h, outputs), context.valid
        )
        outputs = self.norm(outputs).reshape(x.shape)
        return outputs, dict(zip(_CELL, after, strict=True)) | short

    def cost(self, length: int) -> Cost:
        """Four products of [D] with [D, D], and of each head's [K] with [K, 4 K], a step."""
        D = self.heads * self.head_width
        flops = length * 2 * 4 * D * (D + self.head_width)
        return Cost(flops, self.state_bytes(length), length + self.short.depth)
