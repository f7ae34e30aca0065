"""Delta rules: a key replaces what it held, in place of adding to it."""

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Float
from seqmodels.errors import require
from seqmodels.layers import Axes, Linear, NormKind
from seqmodels.mixers.base import features_of_a_head
from seqmodels.mixers.decays import StepDecay
from seqmodels.mixers.matrix_state import Form, Gate, MatrixMixer, Readout
from seqmodels.mixers.short_convolution import Short

SMALLEST = 1e-6
"""Added to a squared length before it divides."""
MOST_STEPS = 32
"""Of a token: they are written out one after the other."""


def unit(x: Float[Array, "*B K"], smallest: float = SMALLEST) -> Float[Array, "*B K"]:
    """Vectors of length 1 (almost 0 where x is), in the dtype of x."""
    exact = x.astype(jnp.float32)
    squared = jnp.sum(exact * exact, axis=-1, keepdims=True)
    return (exact * jax.lax.rsqrt(squared + smallest)).astype(x.dtype)


class DeltaMixer(MatrixMixer):
    """What the delta rules share: ``S_t = D_t S_{t-1} + beta_t k_t (v_t - (D_t S_{t-1})^T k_t)^T``.

    Queries, keys and values pass through silu; queries and keys are then of length 1, and queries
    scaled by 1 / sqrt(K). A token may have several such steps.
    """

    def _settle_delta(
        self,
        width: int,
        heads: int,
        value_expansion: float,
        negative_eigenvalues: bool,
        chunk: int,
        form: Form | None,
        short: Short | None,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        """The projections, and the strengths beta of each step."""
        K = features_of_a_head(width, heads)
        U = features_of_a_head(width, heads, "value_expansion", value_expansion)
        self._settle(width, heads, K, U, chunk, form, short, rngs=rngs)
        self.largest = 2.0 if negative_eigenvalues else 1.0
        self.strengths = Linear({"D": width}, self._of_steps({"H": heads}), rngs=rngs)

    def _axes(self) -> dict[str, Axes]:
        """Keys and values have the steps of a token as an axis, where there are several."""
        queries, keys, values = super()._axes().values()
        return {"queries": queries, "keys": self._of_steps(keys), "values": self._of_steps(values)}

    def _of_steps(self, axes: Axes) -> Axes:
        return axes if self.steps_a_token == 1 else {"gates": self.steps_a_token, **axes}

    def _log_decay(self, x: Float[Array, "B L D"]) -> Array | None:
        """The logs of the decays, [B, L, H] or [B, L, H, K], or None for none."""
        return None

    def _run(self, x, projected, state, context):
        query, key, value = (jax.nn.silu(projected[n]) for n in ("queries", "keys", "values"))
        query, key = unit(query) / self.key_width**0.5, unit(key)
        strength = self.largest * jax.nn.sigmoid(self.strengths(x).astype(jnp.float32))
        log_decay, reads = self._log_decay(x), key
        if log_decay is not None:
            decay = jnp.exp(log_decay if log_decay.ndim == 4 else log_decay[..., None])
            if self.steps_a_token == 1:
                reads = (key * decay).astype(key.dtype)
            else:  # what the first step reads is what the decay leaves
                reads = key.at[:, :, 0].multiply(decay.astype(key.dtype))
        written = (value * strength[..., None]).astype(value.dtype)
        of_steps = (key, written, -strength, reads)
        if self.steps_a_token > 1:
            of_steps = tuple(a.reshape(len(a), -1, *a.shape[3:]) for a in of_steps)
        outputs, matrix = self._replace(query, *of_steps, log_decay, state["matrix"], context)
        return outputs, {"matrix": matrix}


class DeltaNet(DeltaMixer):
    """The delta rule without a decay (Schlag et al. 2021; Yang et al. 2024).

    ``S_t = S_{t-1} + beta_t k_t (v_t - S_{t-1}^T k_t)^T`` with ``beta_t = sigmoid(W x_t)``. Outputs
    are normalised by head and projected.

    Args:
      heads: the number of heads H, which divides D; each has width K = U = D / H.
      negative_eigenvalues: whether beta is doubled, so that ``I - beta k k^T`` has an eigenvalue
        from -1 to 1 in place of 0 to 1 (Grazzi et al. 2025).
      head_norm: the norm of each head's outputs.
      output_gate: whether they are gated by ``silu(G x_t)``.
      chunk: positions that the chunked form computes at once, a power of 2.
      form: "recurrent" or "chunked"; None goes by platform and length.
      short: the block\'s short convolution, of queries, keys and values, before silu.
    """

    products = 3

    def __init__(
        self,
        width: int,
        heads: int = 4,
        negative_eigenvalues: bool = False,
        head_norm: NormKind = "rms",
        output_gate: bool = False,
        chunk: int = 64,
        form: Form | None = None,
        *,
        short: Short | None = None,
        rngs: nnx.Rngs,
    ):
        self._settle_delta(width, heads, 1.0, negative_eigenvalues, chunk, form, short, rngs=rngs)
        gate: Gate = "silu" if output_gate else "none"
        self.readout = Readout(width, heads, self.value_width, head_norm, gate, rngs=rngs)


class GatedDeltaNet(DeltaMixer):
    """A delta rule that forgets (Yang et al. 2025): ``D_t = a_t``, a number a head.

    ``a_t = exp(-exp(A_log) softplus(W x_t + dt_bias))`` as in Mamba-2, with rates exp(A_log) that
    begin between 0 and 16. Outputs are normalised by head, gated by ``silu(G x_t)`` and projected.

    Args:
      heads: the number of heads H, which divides D; keys have K = D / H.
      value_expansion: the width of values, U, over that of keys.
      negative_eigenvalues: as of ``deltanet``; the decay stays as it is.
      head_norm: as of ``deltanet``.
      output_gate: as of ``deltanet``.
      chunk: as of ``deltanet``.
      form: as of ``deltanet``.
      short: the block\'s short convolution, of queries, keys and values, before silu.
    """

    products = 4

    def __init__(
        self,
        width: int,
        heads: int = 4,
        value_expansion: float = 2.0,
        negative_eigenvalues: bool = False,
        head_norm: NormKind = "rms",
        output_gate: bool = True,
        chunk: int = 64,
        form: Form | None = None,
        *,
        short: Short | None = None,
        rngs: nnx.Rngs,
    ):
        self._settle_delta(
            width, heads, value_expansion, negative_eigenvalues, chunk, form, short, rngs=rngs
        )
        self.decay_steps = Linear({"D": width}, {"H": heads}, rngs=rngs)
        self.decay = StepDecay({"H": heads}, 0.0, rngs=rngs)
        gate: Gate = "silu" if output_gate else "none"
        self.readout = Readout(width, heads, self.value_width, head_norm, gate, rngs=rngs)

    def _log_decay(self, x):
        return self.decay.log(self.decay.steps(self.decay_steps(x)))


class KimiDeltaAttention(DeltaMixer):
    """A delta rule whose keys each forget as the input says (KDA, Kimi Team 2025).

    ``D_t = diag(exp(-exp(A_log) softplus(W_2 W_1 x_t + dt_bias)))``, with a rate exp(A_log) a head
    that begins between 1 and 16, a step for each key, and K features between W_1 and W_2. Outputs
    are normalised by head, gated by ``sigmoid(G_2 G_1 x_t)`` and projected.

    Args:
      heads: the number of heads H, which divides D; each has width K = U = D / H.
      negative_eigenvalues: as of ``deltanet``; the decay stays as it is.
      head_norm: as of ``deltanet``.
      output_gate: as of ``deltanet``.
      chunk: as of ``deltanet``.
      form: as of ``deltanet``.
      short: the block\'s short convolution, of queries, keys and values, before silu.
    """

    products = 4

    def __init__(
        self,
        width: int,
        heads: int = 4,
        negative_eigenvalues: bool = False,
        head_norm: NormKind = "rms",
        output_gate: bool = True,
        chunk: int = 64,
        form: Form | None = None,
        *,
        short: Short | None = None,
        rngs: nnx.Rngs,
    ):
        self._settle_delta(width, heads, 1.0, negative_eigenvalues, chunk, form, short, rngs=rngs)
        K = self.key_width
        keys: Axes = {"H": heads, "K": K}
        self.decay_down = Linear({"D": width}, {"features": K}, rngs=rngs)
        self.decay_steps = Linear({"features": K}, keys, rngs=rngs)
        self.decay = StepDecay(keys, 1.0, rngs=rngs)
        gate: Gate = "sigmoid" if output_gate else "none"
        self.readout = Readout(width, heads, K, head_norm, gate, K, rngs=rngs)

    def _log_decay(self, x):
        return self.decay.log(self.decay.steps(self.decay_steps(self.decay_down(x))))


class DeltaProduct(DeltaMixer):
    """Several steps of a delta rule a token (Siems et al. 2025).

    Each has a key, a value and a strength of its own, so that a token multiplies the state by a
    product of as many reflections or projections; with negative eigenvalues that can be any
    rotation among as many dimensions. The decay, where there is one (Gated DeltaProduct), is that
    of ``gated_deltanet``, in the first step.

    Args:
      heads: the number of heads H, which divides D; keys have K = D / H.
      steps: n, how many of them.
      value_expansion: the width of values, U, over that of keys.
      negative_eigenvalues: as of ``deltanet``.
      forgets: whether there is a decay.
      head_norm: as of ``deltanet``.
      output_gate: as of ``deltanet``.
      chunk: as of ``deltanet``, in steps of tokens.
      form: as of ``deltanet``.
      short: the block\'s short convolution, of queries, keys and values, before silu.
    """

    def __init__(
        self,
        width: int,
        heads: int = 4,
        steps: int = 2,
        value_expansion: float = 2.0,
        negative_eigenvalues: bool = True,
        forgets: bool = True,
        head_norm: NormKind = "rms",
        output_gate: bool = True,
        chunk: int = 64,
        form: Form | None = None,
        *,
        short: Short | None = None,
        rngs: nnx.Rngs,
    ):
        require(1 <= steps <= MOST_STEPS, f"steps={steps} is not from 1 to {MOST_STEPS} a token")
        self.steps_a_token = steps
        self.products = 2 * steps + forgets + 1
        self._settle_delta(
            width, heads, value_expansion, negative_eigenvalues, chunk, form, short, rngs=rngs
        )
        self.forgets = forgets
        if forgets:
            self.decay_steps = Linear({"D": width}, {"H": heads}, rngs=rngs)
            self.decay = StepDecay({"H": heads}, 0.0, rngs=rngs)
        gate: Gate = "silu" if output_gate else "none"
        self.readout = Readout(width, heads, self.value_width, head_norm, gate, rngs=rngs)

    def _log_decay(self, x):
        if not self.forgets:
            return None
        return self.decay.log(self.decay.steps(self.decay_steps(x)))
