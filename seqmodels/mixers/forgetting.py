"""Forgetting gates: what attention takes off the scores of keys that lie behind (FoX)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from seqmodels.arrays import Array, Float
from seqmodels.errors import require
from seqmodels.layers import Linear
from seqmodels.mixers.base import Context
from seqmodels.mixers.decays import observe_decay
from seqmodels.ops.running import running_sum

PARTS = 3
"""Features that hold a float32 exactly, each a number of 8 bits: no product rounds them, also not
one of bfloat16."""


class Forgetting(nnx.Module):
    """``s_ij + sum_{j < l <= i} log f_l`` with a gate ``f_l = sigmoid(w . x_l + b)`` of each head.

    The Forgetting Transformer (Lin et al. 2025, arXiv 2503.02130). The softmax over j is the same
    without what all of a query's scores share, so the sums are only told apart among keys: each key
    brings ``-sum_{l <= j} log f_l`` along, as features that queries have 1 for, and every form of
    attention serves it.
    """

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.gates = Linear({"D": width}, {"H": heads}, rngs=rngs)

    def __call__(self, x: Float[Array, "B L D"], context: Context) -> Float[Array, "B L H"]:
        """``sum_{l <= j} log f_l`` over a chunk, in float32; padding forgets nothing."""
        log_gates = jax.nn.log_sigmoid(self.gates(x).astype(jnp.float32))
        observe_decay(lambda: log_gates, context.valid)
        if context.valid is not None:
            valid = jnp.reshape(context.valid, x.shape[:2])
            log_gates = jnp.where(valid[:, :, None], log_gates, 0.0)
        return running_sum(log_gates)


def check_forgetting(forgetting: bool, causal: bool, score: str) -> None:
    """Refuses what has no order to forget in, and scores that nothing can be taken off."""
    require(
        not forgetting or (causal and score != "additive"),
        f"forgetting=True lowers products of queries and earlier keys; with causal={causal}, "
        f"score={score!r} set it to False",
    )


def with_bias(
    query: Float[Array, "B M H K"],
    keys: Float[Array, "B L G K"],
    bias: Float[Array, "B L H"],
    scale: float,
) -> tuple[Float[Array, "B M H Kq"], Float[Array, "B L H Kq"]]:
    """Queries and keys whose products, scaled, are greater by each key's bias for a head."""
    heads, dtype = query.shape[2], keys.dtype
    left, parts = bias / scale, []
    for _ in range(PARTS - 1):
        # Its rounding is no function to differentiate; the rest carries the whole gradient.
        part = lax.stop_gradient(lax.reduce_precision(left, exponent_bits=8, mantissa_bits=7))
        parts.append(part)
        left = left - part
    features = jnp.stack([*parts, left], axis=-1).astype(dtype)  # [B, L, H, 3]
    keys = jnp.repeat(keys, heads // keys.shape[2], axis=2)
    ones = jnp.ones((*query.shape[:3], PARTS), query.dtype)
    return jnp.concatenate([query, ones], axis=-1), jnp.concatenate([keys, features], axis=-1)
