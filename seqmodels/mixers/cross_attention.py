"""Attention from one sequence to another: what a decoder sees of its source."""

from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import AnyArray, Array, Bool, Float
from seqmodels.layers import Linear, linears
from seqmodels.mixers.base import Cost, features_of_a_head
from seqmodels.mixers.scores import Scores
from seqmodels.observing import observe
from seqmodels.ops.attention.additive import Score
from seqmodels.parameters import parameter


class Source(NamedTuple):
    """A source sequence as a decoder's block attends to it: projected once, for all steps."""

    keys: Float[Array, "B L H K"]
    values: Float[Array, "B L H K"]
    mask: Bool[AnyArray, "B L"] | None


class CrossAttention(nnx.Module):
    """Multi-head attention of every position to all positions of a source sequence.

    Args:
      heads: the number of heads H, which divides D; each has width K = D / H.
      score: how well they match (:data:`~seqmodels.ops.attention.additive.Score`).
    """

    def __init__(self, width: int, heads: int = 1, score: Score = "scaled_dot", *, rngs: nnx.Rngs):
        self.width = width
        self.heads = heads
        D, H, K = width, heads, features_of_a_head(width, heads)
        self.score = Scores(score, K)
        self.queries = Linear({"D": D}, {"H": H, "K": K}, rngs=rngs)
        several = [{"H": H, "K": K}, {"H": H, "U": K}]
        self.keys, self.values = linears({"D": D}, several, "source", rngs=rngs)
        self.outputs = Linear({"H": H, "U": K}, {"D": D}, rngs=rngs)
        if score == "additive":
            vector = nnx.initializers.normal(1.0)(rngs.params(), (H, K))
            self.vector = parameter(vector, "HK", decays=False)

    def project(self, source: Float[Array, "B L D"], mask: Bool[AnyArray, "B L"] | None) -> Source:
        """Keys and values of a source; masked positions are seen by none."""
        return Source(self.keys(source), self.values(source), mask)

    def __call__(self, x: Float[Array, "B M D"], source: Source) -> Float[Array, "B M D"]:
        """Attends from each position to the source."""
        query = self.queries(x)
        keys, values, mask = source
        keys, values = keys.astype(x.dtype), values.astype(x.dtype)
        mask = None if mask is None else jnp.asarray(mask)
        vector = self.vector[...] if self.score.kind == "additive" else None
        observe("weights", lambda: self.score.weights(query, keys, vector, causal=False, mask=mask))
        mixed = self.score.mix(query, keys, values, vector, causal=False, mask=mask)
        return self.outputs(mixed)

    def cost(self, length: int, source_length: int) -> Cost:
        """Two projections of each sequence; scores and sums over every pair of positions."""
        return Cost(
            flops=(length + source_length) * 4 * self.width**2
            + 4 * length * source_length * self.width,
            state_bytes=2 * source_length * self.width * 4,
            sequential_depth=1,
        )
