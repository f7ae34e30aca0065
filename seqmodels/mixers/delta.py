"""Delta rules: a key replaces what it held, in place of adding to it."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Float
from seqmodels.errors import require
from seqmodels.layers import Axes, Linear
from seqmodels.mixers.decays import StepDecay
from seqmodels.mixers.matrix_state import HeadMixer

SMALLEST = 1e-6
"""Added to a squared length before it divides."""
MOST_STEPS = 32
"""Of a token: they are written out one after the other."""


def unit(x: Float[Array, "*B K"], smallest: float = SMALLEST) -> Float[Array, "*B K"]:
    """Vectors of length 1 (almost 0 where x is), in the dtype of x."""
    exact = x.astype(jnp.float32)
    squared = jnp.sum(exact * exact, axis=-1, keepdims=True)
    return (exact * jax.lax.rsqrt(squared + smallest)).astype(x.dtype)


@dataclass(eq=False, repr=False)
class DeltaNet(HeadMixer):
    """The delta rule (Schlag et al. 2021; Yang et al. 2024): here D_t = 1.

    ``S_t = D_t S_{t-1} + beta_t k_t (v_t - (D_t S_{t-1})^T k_t)^T`` with
    ``beta_t = sigmoid(W x_t)``. Queries, keys and values pass through silu; queries and keys are
    then of length 1, and queries scaled by 1 / sqrt(K). Outputs may be gated by ``silu(G x_t)``.

    Args:
      negative_eigenvalues: whether beta is doubled, so that ``I - beta k k^T`` has an eigenvalue
        from -1 to 1 in place of 0 to 1 (Grazzi et al. 2025); a decay stays as it is.
    """

    negative_eigenvalues: bool = False
    output_gate: bool = False

    forgets = False
    """Whether there is a decay."""
    steps = 1
    """How many steps of the delta rule a token has."""

    @property
    def steps_a_token(self) -> int:
        return self.steps

    @property
    def products(self) -> int:
        """Each step reads what it replaces and writes; once a token it decays, and is read."""
        return 2 * self.steps + self.forgets + 1

    def _axes(self) -> dict[str, Axes]:
        """Keys and values have the steps of a token as an axis, where there are several."""
        queries, keys, values = super()._axes().values()
        return {"queries": queries, "keys": self._of_steps(keys), "values": self._of_steps(values)}

    def _of_steps(self, axes: Axes) -> Axes:
        return axes if self.steps == 1 else {"gates": self.steps, **axes}

    def _begin(self, rngs: nnx.Rngs) -> None:
        self.strengths = Linear({"D": self.width}, self._of_steps({"H": self.heads}), rngs=rngs)

    def _log_decay(self, x: Float[Array, "B L D"]) -> Array | None:
        """The logs of the decays, [B, L, H] or [B, L, H, K], or None for none."""
        return None

    def _run(self, x, projected, state, context):
        query, key, value = (jax.nn.silu(projected[n]) for n in ("queries", "keys", "values"))
        query, key = unit(query) / self.key_width**0.5, unit(key)
        largest = 2.0 if self.negative_eigenvalues else 1.0
        strength = largest * jax.nn.sigmoid(self.strengths(x).astype(jnp.float32))
        log_decay, reads = self._log_decay(x), key
        if log_decay is not None:
            decay = jnp.exp(log_decay if log_decay.ndim == 4 else log_decay[..., None])
            if self.steps == 1:
                reads = (key * decay).astype(key.dtype)
            else:  # what the first step reads is what the decay leaves
                reads = key.at[:, :, 0].multiply(decay.astype(key.dtype))
        written = (value * strength[..., None]).astype(value.dtype)
        if self.steps > 1:  # one after the other
            key, written, strength, reads = (
                a.reshape(len(a), -1, *a.shape[3:]) for a in (key, written, strength, reads)
            )
        given = (query, key, written, -strength, reads, log_decay, state["matrix"], context)
        outputs, matrix = self._replace(*given)
        return outputs, {"matrix": matrix}


@dataclass(eq=False, repr=False)
class GatedDeltaNet(DeltaNet):
    """A delta rule that forgets (Yang et al. 2025): ``D_t = a_t``, a number a head.

    ``a_t = exp(-exp(A_log) softplus(W x_t + dt_bias))`` as in Mamba-2, with rates exp(A_log) that
    begin between 0 and 16. The rest is as of :class:`DeltaNet`, but that outputs are gated.
    """

    value_expansion: float = 2.0
    output_gate: bool = True

    forgets = True

    def _begin(self, rngs):
        super()._begin(rngs)
        if self.forgets:
            self.decay_steps = Linear({"D": self.width}, {"H": self.heads}, rngs=rngs)
            self.decay = StepDecay({"H": self.heads}, 0.0, rngs=rngs)

    def _log_decay(self, x):
        return self.decay.log(self.decay.steps(self.decay_steps(x))) if self.forgets else None


@dataclass(eq=False, repr=False)
class KimiDeltaAttention(DeltaNet):
    """A delta rule whose keys each forget as the input says (KDA, Kimi Team 2025).

    ``D_t = diag(exp(-exp(A_log) softplus(W_2 W_1 x_t + dt_bias)))``, with a rate exp(A_log) a head
    that begins between 1 and 16, a step for each key, and K features between W_1 and W_2. Outputs
    are gated by ``sigmoid(G_2 G_1 x_t)``, as many features between. The rest is as of
    :class:`DeltaNet`.
    """

    output_gate: bool = True

    forgets = True
    gate = "sigmoid"

    def _begin(self, rngs):
        super()._begin(rngs)
        keys: Axes = {"H": self.heads, "K": self.key_width}
        self.decay_down = Linear({"D": self.width}, {"features": self.key_width}, rngs=rngs)
        self.decay_steps = Linear({"features": self.key_width}, keys, rngs=rngs)
        self.decay = StepDecay(keys, 1.0, rngs=rngs)

    def _gate_rank(self):
        return self.key_width

    def _log_decay(self, x):
        return self.decay.log(self.decay.steps(self.decay_steps(self.decay_down(x))))


@dataclass(eq=False, repr=False)
class DeltaProduct(GatedDeltaNet):
    """Several steps of a delta rule a token (Siems et al. 2025).

    Each has a key, a value and a strength of its own, so that a token multiplies the state by a
    product of as many reflections or projections; with negative eigenvalues that can be any
    rotation among as many dimensions. The decay, where there is one (Gated DeltaProduct), is in the
    first step. Chunks are of steps, not of tokens.

    Args:
      steps: n, how many of them.
      forgets: whether there is a decay.
    """

    steps: int = 2
    forgets: bool = True
    negative_eigenvalues: bool = True

    def _widths(self):
        require(
            1 <= self.steps <= MOST_STEPS,
            f"steps={self.steps} is not from 1 to {MOST_STEPS} a token",
        )
        return super()._widths()
