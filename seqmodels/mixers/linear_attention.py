"""Linear attention, and its descendants that forget: retention and gated linear attention."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from seqmodels.errors import require, require_least
from seqmodels.layers import Linear, NormKind
from seqmodels.mixers.base import features_of_a_head
from seqmodels.mixers.matrix_state import Form, MatrixMixer, Readout
from seqmodels.mixers.short_convolution import Short
from seqmodels.ops.positions import rotate

SMALLEST = 1e-6
"""Added to a sum of weights before it divides."""
TEMPERATURE = 16
"""The root that is taken of gated linear attention's decays (Yang et al. 2024, section 4.4)."""


class LinearAttention(MatrixMixer):
    """Attention without a softmax, as a recurrence (Katharopoulos et al. 2020).

    ``S_t = S_{t-1} + f(k_t) v_t^T``, ``z_t = z_{t-1} + f(k_t)``, and each head's output is
    ``S_t^T f(q_t) / z_t . f(q_t)``; nothing is forgotten.

    Args:
      heads: the number of heads H, which divides D; each has width K = U = D / H.
      features: f: "elu" is elu(x) + 1, "relu", or "identity", x itself.
      normalised: whether outputs are divided by the sum of their weights, which takes features that
        aren't negative; else queries are scaled by 1 / sqrt(K).
      chunk: positions that the chunked form computes at once, a power of 2.
      form: "recurrent" or "chunked"; None goes by platform and length.
      short: the block\'s short convolution, of queries, keys and values.
    """

    products = 2

    def __init__(
        self,
        width: int,
        heads: int = 4,
        features: Literal["elu", "relu", "identity"] = "elu",
        normalised: bool = True,
        chunk: int = 64,
        form: Form | None = None,
        *,
        short: Short | None = None,
        rngs: nnx.Rngs,
    ):
        require(
            features != "identity" or not normalised,
            "features='identity' may be negative, and normalised=True divides by their sums; "
            "set normalised=False, or features to 'elu' or 'relu'",
        )
        K = features_of_a_head(width, heads)
        self._settle(width, heads, K, K, chunk, form, short, rngs=rngs)
        self.features, self.sums = features, normalised
        self.readout = Readout(width, heads, K, "none", "none", rngs=rngs)

    def _run(self, x, projected, state, context):
        maps = {"elu": lambda x: jax.nn.elu(x) + 1, "relu": jax.nn.relu, "identity": lambda x: x}
        query, key = (maps[self.features](projected[name]) for name in ("queries", "keys"))
        value = projected["values"]
        if not self.sums:
            return self._remember(query / self.key_width**0.5, key, value, None, state, context)
        mixed, after = self._remember(query, key, value, None, state, context)
        return mixed[..., :-1] / (mixed[..., -1:] + SMALLEST), after


class Retention(MatrixMixer):
    """Linear attention that forgets at a fixed rate (RetNet, Sun et al. 2023).

    ``S_t = g_h S_{t-1} + k_t v_t^T`` with ``g_h = 1 - 2^(-5 - h)`` for heads h = 0 ... H - 1;
    queries and keys are turned by their positions. Outputs are normalised by head, gated by
    ``silu(G x_t)``, and projected. The norm makes the paper's scales of retention scores needless.

    Args:
      heads: the number of heads H, which divides D, each with an even width K = D / H of keys.
      value_expansion: the width of values, U, over that of keys.
      head_norm: the norm of each head's outputs.
      output_gate: whether they are gated.
      chunk: as of ``linear_attention``.
      form: as of ``linear_attention``.
      short: the block\'s short convolution, of queries, keys and values.
    """

    products = 3

    def __init__(
        self,
        width: int,
        heads: int = 4,
        value_expansion: float = 2.0,
        head_norm: NormKind = "rms",
        output_gate: bool = True,
        chunk: int = 64,
        form: Form | None = None,
        *,
        short: Short | None = None,
        rngs: nnx.Rngs,
    ):
        K = features_of_a_head(width, heads)
        require(K % 2 == 0, f"heads={heads} are {K} wide, and features are turned in pairs")
        U = features_of_a_head(width, heads, "value_expansion", value_expansion)
        self._settle(width, heads, K, U, chunk, form, short, rngs=rngs)
        gate = "silu" if output_gate else "none"
        self.readout = Readout(width, heads, U, head_norm, gate, rngs=rngs)

    def _run(self, x, projected, state, context):
        assert context.positions is not None
        query = rotate(projected["queries"], context.positions) / self.key_width**0.5
        key = rotate(projected["keys"], context.positions)
        log_decay = np.log1p(-(2.0 ** (-5 - np.arange(self.heads)))).astype(np.float32)
        log_decay = jnp.broadcast_to(log_decay.reshape(1, 1, -1), query.shape[:3])
        return self._remember(query, key, projected["values"], log_decay, state, context)


class GatedLinearAttention(MatrixMixer):
    """Linear attention whose keys each forget as the input says (GLA, Yang et al. 2024).

    ``S_t = diag(a_t) S_{t-1} + k_t v_t^T`` with ``a_t = sigmoid(A_2 A_1 x_t + b)^(1/16)``. Outputs
    are normalised by head, gated by ``silu(G x_t)``, and projected.

    Args:
      heads: the number of heads H.
      key_expansion: the features of all keys together over D.
      value_expansion: those of all values over D.
      rank: how many features lie between A_1 and A_2.
      head_norm: the norm of each head's outputs.
      output_gate: whether they are gated.
      chunk: as of ``linear_attention``.
      form: as of ``linear_attention``.
      short: the block\'s short convolution, of queries, keys and values.
    """

    products = 3

    def __init__(
        self,
        width: int,
        heads: int = 4,
        key_expansion: float = 0.5,
        value_expansion: float = 1.0,
        rank: int = 16,
        head_norm: NormKind = "rms",
        output_gate: bool = True,
        chunk: int = 64,
        form: Form | None = None,
        *,
        short: Short | None = None,
        rngs: nnx.Rngs,
    ):
        require_least(1, rank=rank)
        K = features_of_a_head(width, heads, "key_expansion", key_expansion)
        U = features_of_a_head(width, heads, "value_expansion", value_expansion)
        self._settle(width, heads, K, U, chunk, form, short, rngs=rngs)
        self.decay_down = Linear({"D": width}, {"features": rank}, rngs=rngs)
        self.decays = Linear({"features": rank}, {"H": heads, "K": K}, rngs=rngs)
        gate = "silu" if output_gate else "none"
        self.readout = Readout(width, heads, U, head_norm, gate, rngs=rngs)

    def _run(self, x, projected, state, context):
        decays = self.decays(self.decay_down(x)).astype(jnp.float32)
        log_decay = jax.nn.log_sigmoid(decays) / TEMPERATURE
        query, key, value = (projected[name] for name in ("queries", "keys", "values"))
        return self._remember(query / self.key_width**0.5, key, value, log_decay, state, context)
