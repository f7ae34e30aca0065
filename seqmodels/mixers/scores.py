"""How well queries and keys match, and what is mixed by it: the one way into attention's forms."""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from seqmodels.arrays import Array, Bool, Float, Int
from seqmodels.ops.attention.additive import Score, additive_attention, additive_weights
from seqmodels.ops.attention.dot_product import (
    attention,
    attention_and_sums,
    attention_weights,
)


@dataclass(frozen=True)
class Scores:
    """The score of a query and a key; ``slopes`` lower products with the distance."""

    kind: Score
    head_width: int
    """K, by which products are scaled however wide queries and keys have become."""
    slopes: tuple[float, ...] | None = None

    def mix(
        self,
        query: Float[Array, "B M H Kq"],
        keys: Float[Array, "B L G Kq"],
        values: Float[Array, "B L G U"],
        vector: Float[Array, "H K"] | None,
        *,
        causal: bool,
        window: int | None = None,
        mask: Bool[Array, "B L"] | None = None,
        offset: int | Int[Array, "B"] = 0,
        form: str | None = None,
    ) -> Float[Array, "B M H U"]:
        """The values, weighed for each query; ``vector`` is that of additive scores alone."""
        seen: dict[str, Any] = {"causal": causal, "window": window, "mask": mask, "offset": offset}
        seen["form"] = form
        if self.kind == "additive":
            heads = query.shape[2]
            keys, values = _repeat(keys, heads), _repeat(values, heads)
            assert vector is not None
            return additive_attention(query, keys, values, vector, **seen)
        return attention(query, keys, values, scale=self.scale, slopes=self.slopes, **seen)

    def mix_and_sum(
        self,
        query: Float[Array, "B M H Kq"],
        keys: Float[Array, "B L G Kq"],
        values: Float[Array, "B L G U"],
        **seen: Any,
    ) -> tuple[Float[Array, "B M H U"], Float[Array, "B M H"]]:
        """As :meth:`mix` of products, and the log of the sum of the scores' exponentials."""
        return attention_and_sums(query, keys, values, **seen, scale=self.scale, slopes=self.slopes)

    def products(
        self,
        query: Float[Array, "B M H Kq"],
        keys: Float[Array, "B S G Kq"],
        query_places: Int[Array, "#B M"],
        key_places: Int[Array, "#B S"],
    ) -> Float[Array, "B M H S"]:
        """The scores of all pairs, in float32; for few keys."""
        keys = _repeat(keys, query.shape[2])
        scores = jnp.einsum("bmhk,bshk->bmhs", query, keys, preferred_element_type=jnp.float32)
        scores = self.scale * scores
        if self.slopes is None:
            return scores
        distance = jnp.abs(query_places[:, :, None] - key_places[:, None]).astype(jnp.float32)
        return scores - jnp.array(self.slopes).reshape(1, 1, -1, 1) * distance[:, :, None]

    def weights(
        self,
        query: Float[Array, "B M H Kq"],
        keys: Float[Array, "B L G Kq"],
        vector: Float[Array, "H K"] | None,
        *,
        causal: bool,
        window: int | None = None,
        mask: Bool[Array, "B L"] | None = None,
        offset: int | Int[Array, "B"] = 0,
    ) -> Float[Array, "B H M L"]:
        """How much each query takes of each key's value."""
        seen: dict[str, Any] = {"causal": causal, "window": window, "mask": mask}
        if self.kind == "additive":
            assert vector is not None
            places = jnp.reshape(jnp.asarray(offset), (-1, 1)) + jnp.arange(query.shape[1])[None]
            keys = _repeat(keys, query.shape[2])
            return additive_weights(query, keys, vector, **seen, positions=places)
        seen |= {"scale": self.scale, "slopes": self.slopes, "offset": offset}
        return attention_weights(query, keys, **seen)

    @property
    def scale(self) -> float:
        """What products are multiplied with."""
        return 1.0 if self.kind == "dot" else 1 / math.sqrt(self.head_width)


def _repeat(x: Float[Array, "B L G K"], heads: int) -> Float[Array, "B L H K"]:
    return jnp.repeat(x, heads // x.shape[2], axis=2)
