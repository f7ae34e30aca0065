"""RWKV-7's time mixing: a delta rule that erases and writes by different keys."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Float, State
from seqmodels.errors import require, require_least
from seqmodels.layers import Axes, Linear
from seqmodels.mixers.base import Context, features_of_a_head
from seqmodels.mixers.cache import keep_on
from seqmodels.mixers.delta import unit
from seqmodels.mixers.matrix_state import MatrixMixer
from seqmodels.ops.running import previous
from seqmodels.parameters import parameter

READERS = {
    "queries": 0.2,
    "decays": 0.9,
    "keys": 0.7,
    "values": 0.7,
    "strengths": 0.9,
    "gates": 0.2,
}
"""What reads a mixture of a position and the one before it, and its exponent in the beginning."""
SMALLEST = 64e-5
"""Added to the variance of a head's outputs before it divides."""


@dataclass(eq=False, repr=False)
class RWKV7(MatrixMixer):
    """Time mixing of RWKV-7 (Peng et al. 2025, section 4).

    ``S_t = (diag(w_t) - (a_t * c_t) c_t^T) S_{t-1} + k_t v_t^T``, read by the receptance r_t: c is
    the key before ``a`` scales it, at length 1, ``a_t`` a strength for each key feature, and
    ``w_t = exp(-e^(-1/2) sigmoid(...))``, above 0.54. To each head's normalised outputs comes
    ``(sum_k r_k k_k p_k) v_t`` with a learned p; they are gated and projected. Decays, strengths
    and gates go through few features, whose weights don't decay, as in the official code.

    Each of the six projections reads its own mixture ``x_t + m (x_{t-1} - x_t)``: this token shift
    is RWKV's own and stays, whatever the block's short convolution. The value residual that crosses
    layers is left out, and initial values are those of a first layer, which has none.

    Args:
      heads: the number of heads H, which divides D; each has width K = U = D / H, 2 at least.
      decay_rank: of decays and strengths; None is 2.5 sqrt(D), to the nearest 32, at least 32.
      gate_rank: of gates; None is 5 sqrt(D), likewise.
    """

    decay_rank: int | None = None
    gate_rank: int | None = None

    products = 5

    def __post_init__(self, rngs: nnx.Rngs) -> None:
        require_least(1, decay_rank=self.decay_rank, gate_rank=self.gate_rank)
        few, more = (max(32, 32 * round(n * self.width**0.5 / 32)) for n in (2.5, 5.0))
        few, more = self.decay_rank or few, self.gate_rank or more
        self.ranks = few, few, more  # of decays, strengths and gates
        super().__post_init__(rngs)

    def _widths(self):
        K = features_of_a_head(self.width, self.heads)
        require(
            K >= 2, f"heads={self.heads} leaves heads of 1 feature; lower it to have 2 at least"
        )
        return K, K

    def _begin(self, rngs: nnx.Rngs) -> None:
        """With the initial values of the official code, of its first layer."""
        D, H, K = self.width, self.heads, self.key_width

        def through(rank: int) -> tuple[Linear, Linear]:
            between: Axes = {"features": rank}
            inner: Axes = {"H": H, "K": K}
            return Linear({"D": D}, between, rngs=rngs), Linear(between, inner, rngs=rngs)

        narrow = [through(rank) for rank in self.ranks]
        self.decay_down, self.decay_up = narrow[0]
        self.strength_down, self.strength_up = narrow[1]
        self.gate_down, self.gate_up = narrow[2]
        self.outputs = Linear({"H": H, "U": K}, {"D": D}, rngs=rngs)
        place = jnp.arange(D) / D
        mixtures = jnp.stack([1 - place**exponent for exponent in READERS.values()])
        self.mixtures = parameter(mixtures, ("gates", "D"), decays=False)
        within = (jnp.arange(K) - (K - 1) / 2) / ((K - 1) / 2)
        within = jnp.tile((within * jnp.abs(within))[None], (H, 1))  # from -1 to 1 in each head
        along = (jnp.arange(D) / (D - 1)).reshape(H, K)
        decay = 6 * along - 5.5 + 2.5 * within
        self.decay_up.bias = parameter(decay, "HK", decays=False, rate=2.0)
        self.strength_up.bias[...] = 0.3 * within + 0.4 * (along - 0.5) - 0.19
        for rank, (down, up) in zip(self.ranks, narrow, strict=True):
            down.weights = parameter(jnp.zeros((D, rank)), ("D", "features"), decays=False)
            scale = 0.1 * max(1.0, math.sqrt(rank / D))
            orthogonal = nnx.initializers.orthogonal(scale)(rngs.params(), (rank, D))
            orthogonal = orthogonal.reshape(rank, H, K)
            up.weights = parameter(orthogonal, ("features", "H", "K"), decays=False)
        for name, bound in (("queries", 0.5), ("keys", 0.05), ("values", 0.5)):
            weights = getattr(self, name).weights
            most = bound / math.sqrt(D)
            weights[...] = jax.random.uniform(
                rngs.params(), weights.shape, minval=-most, maxval=most
            )
        self.outputs.weights[...] = jnp.zeros_like(self.outputs.weights[...])
        self.erased = parameter(0.71 - 0.1 * (along - 0.5), "HK", decays=False)
        self.strengthened = parameter(jnp.full((H, K), 1.02), "HK", decays=False)
        self.bonus = parameter(jnp.full((H, K), -0.04), "HK", decays=False)
        self.scale = parameter(jnp.ones((H, K)), "HU", decays=False)
        self.shift = parameter(jnp.zeros((H, K)), "HU", decays=False)

    @property
    def state_letters(self) -> dict[str, Any]:
        """The matrices, and the position before."""
        return super().state_letters | {"before": "B W D"}

    def initial_state(self, batch_size: int, room: int) -> State:
        """Zeros, in float32; any number of positions may follow."""
        before = jnp.zeros((batch_size, 1, self.width), jnp.float32)
        return super().initial_state(batch_size, room) | {"before": before}

    def mix(
        self, x: Float[Array, "B L D"], state: State | None, context: Context
    ) -> tuple[Float[Array, "B L D"], State]:
        """Goes on from the state, or from zeros; padding leaves it as it is."""
        kept = state if isinstance(state, dict) else self.initial_state(len(x), 0)
        if context.valid is not None:
            x = jnp.where(context.valid[:, :, None], x, jnp.zeros((), x.dtype))
        before = keep_on(kept["before"], x, 1, context.valid)
        step = previous(x, kept["before"][:, 0]) - x
        mixtures = self.mixtures[...].astype(x.dtype)
        mixed = {
            name: x + step * mixtures[number].reshape(1, 1, -1)
            for number, name in enumerate(READERS)
        }
        y, matrix = self._read_and_write(mixed, kept["matrix"], context)
        return y, {"matrix": matrix, "before": before}

    def _read_and_write(
        self, mixed: dict[str, Array], matrix: Array, context: Context
    ) -> tuple[Float[Array, "B L D"], Array]:
        query, key, value = (getattr(self, n)(mixed[n]) for n in ("queries", "keys", "values"))
        decays = self.decay_up(jnp.tanh(self.decay_down(mixed["decays"])))
        log_decay = -math.exp(-0.5) * jax.nn.sigmoid(decays.astype(jnp.float32))
        strength = jax.nn.sigmoid(self.strength_up(self.strength_down(mixed["strengths"])))
        gates = self.gate_up(jax.nn.sigmoid(self.gate_down(mixed["gates"])))
        erased, strengthened, bonus, scale, shift = (
            p[...].astype(key.dtype)[None, None]
            for p in (self.erased, self.strengthened, self.bonus, self.scale, self.shift)
        )
        reads = unit(key * erased, smallest=1e-12)
        key = key * (1 + (strength - 1) * strengthened)
        erase = -reads * strength
        given = (query, key, value, erase, reads, log_decay, matrix, context)
        outputs, matrix = self._replace(*given)
        exact = outputs.astype(jnp.float32)
        exact = exact - jnp.mean(exact, axis=-1, keepdims=True)
        variance = jnp.mean(exact * exact, axis=-1, keepdims=True)
        outputs = (exact * jax.lax.rsqrt(variance + SMALLEST)).astype(key.dtype) * scale + shift
        outputs = outputs + jnp.sum(query * key * bonus, axis=-1, keepdims=True) * value
        return self.outputs(outputs * gates), matrix
