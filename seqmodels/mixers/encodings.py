"""How self-attention tells positions: what queries and keys take of where they stand."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax.numpy as jnp

from seqmodels.arrays import Array, Float
from seqmodels.errors import require, require_least, require_with
from seqmodels.mixers.base import Context
from seqmodels.ops.positions import (
    alibi_slopes,
    relative_key,
    relative_query,
    rotate,
    scaled_frequencies,
)

PositionEncoding = Literal["none", "rotary", "alibi", "relative"]


class Relative(NamedTuple):
    """What relative positions learn."""

    offsets: Float[Array, "H K K"]
    """Each head's projection of sinusoids."""
    content_bias: Float[Array, "H K"]
    offset_bias: Float[Array, "H K"]


@dataclass(frozen=True)
class Encoding:
    """A kind of positions, and how it reaches beyond the lengths of training."""

    kind: PositionEncoding
    scaling: Literal["linear", "ntk"] | None = None
    trained_length: int | None = None
    position_range: int | None = None

    def check(self, head_width: int, window: int | None) -> None:
        """Refuses what can't be, and settings for long sequences that nothing would read."""
        require(
            self.kind not in ("rotary", "relative") or head_width % 2 == 0,
            f"positions={self.kind!r} turns pairs of features; a head has an odd {head_width}",
        )
        require(
            self.scaling is None or (self.kind == "rotary" and window is None),
            f"rotary_scaling={self.scaling!r} is of rotary positions without a window: here "
            f"positions={self.kind!r}, window={window}; set it to None",
        )
        require(
            self.scaling != "ntk" or head_width > 2,
            "rotary_scaling='ntk' takes heads wider than 2; take 'linear' or fewer heads",
        )
        owner = f"rotary_scaling={self.scaling!r}"
        require_with(self.trained_length, self.scaling is not None, "trained_length", owner)
        require_least(1, trained_length=self.trained_length, position_range=self.position_range)
        require(
            self.position_range is None or (self.kind in ("rotary", "relative") and window is None),
            f"position_range={self.position_range} spreads positions that are encoded, and a "
            f"window bounds distances by itself: here positions={self.kind!r}, window={window}; "
            "set it to None",
        )

    def key_width(self, head_width: int) -> int:
        """Features that a query and a key meet in."""
        return head_width * (2 if self.kind == "relative" else 1)

    def slopes(self, heads: int) -> tuple[float, ...] | None:
        """How fast each head's scores fall with the distance."""
        return alibi_slopes(heads) if self.kind == "alibi" else None

    def encode(
        self,
        query: Float[Array, "B L H K"],
        keys: Float[Array, "B L G K"],
        context: Context,
        relative: Relative | None,
    ) -> tuple[Float[Array, "B L H Kq"], Float[Array, "B L G Kq"]]:
        """Queries and keys that know where they stand."""
        if self.kind not in ("rotary", "relative"):
            return query, keys
        positions = context.positions if self.position_range is None else context.spread
        assert positions is not None
        assert context.lengths is not None
        head_width = query.shape[-1]
        if self.kind == "rotary":
            frequencies = None
            if self.scaling is not None and self.trained_length is not None:
                frequencies = scaled_frequencies(
                    self.scaling, context.lengths, self.trained_length, head_width
                )
            return rotate(query, positions, frequencies), rotate(keys, positions, frequencies)
        assert relative is not None
        dtype = query.dtype
        content_bias, offset_bias = (
            bias.astype(dtype)[None, None] for bias in (relative.content_bias, relative.offset_bias)
        )
        by_offset = relative_query(query + offset_bias, relative.offsets, positions)
        query = jnp.concatenate([query + content_bias, by_offset], axis=-1)
        places = relative_key(positions, head_width).astype(dtype)[:, :, None]
        keys = jnp.concatenate([keys, jnp.broadcast_to(places, keys.shape)], axis=-1)
        return query, keys
