"""Self-attention: every position looks at all others, or at a window of them."""

import math
from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Bool, Float, Int, Key, State
from seqmodels.errors import require, require_with
from seqmodels.layers import Linear, Norm, linears
from seqmodels.mixers.base import Cost
from seqmodels.mixers.recording import record_attention
from seqmodels.ops.attention.additive import (
    Score,
    additive_attention,
    additive_attention_reference,
    additive_weights,
)
from seqmodels.ops.attention.dot_product import attention, attention_reference, attention_weights
from seqmodels.ops.positions import (
    alibi_slopes,
    relative_key,
    relative_query,
    rotate,
    scaled_frequencies,
    spread_positions,
)
from seqmodels.parameters import parameter


class Attention(nnx.Module):
    """Multi-head self-attention (Vaswani et al. 2017), global or local.

    **Window W means W keys, the query's own included (causal), or W on each side and
    itself (bidirectional).** Without positions it is an operation on a set: permuting
    the inputs of a bidirectional, global one permutes its outputs.

    Args:
      width: the model width D.
      heads: the number of heads H, which divides D; each has width K = D / H.
      window: W, or None for global attention.
      causal: whether a query sees only its own and earlier positions.
      positions: "rotary" turns queries and keys by their positions (Su et al. 2021), "alibi"
        lowers scores with the distance (Press et al. 2022), "relative" scores it by what the
        query holds (Dai et al. 2019, sinusoids as wide as a head, projected by each head);
        "none" tells positions apart by the mask and the window alone.
      kv_heads: how many heads keys and values have, each shared by heads / kv_heads of the
        queries: grouped-query attention (Ainslie et al. 2023), with 1 multi-query (Shazeer
        2019). None is as many as heads.
      score: how well query q and key k match: "scaled_dot" is q . k / sqrt(K), "dot" is q . k
        (Luong et al. 2015), "additive" is v . tanh(q + k) with a learned v for each head
        (Bahdanau et al. 2015).
      qk_norm: whether each head's queries and keys are RMS-normalised (Henry et al. 2020).
      rotary_scaling: how rotary positions are squeezed beyond ``trained_length``, "linear" or
        "ntk" (:func:`~seqmodels.ops.positions.scaled_frequencies`), by each sequence's own
        length, in ``extend`` by max_length; None leaves them.
      trained_length: the longest sequence of training, for that; None otherwise.
      position_range: draws the positions of a sequence in training from so many, in order, and
        spreads them evenly otherwise (randomised positions, Ruoss et al. 2023), in ``extend`` by
        max_length; None counts them.
      plain: whether all scores of a sequence exist at once, in memory that grows with L^2:
        the same function, to compare with.
      rngs: the source of the initial weights.
    """

    stride = 1

    def __init__(
        self,
        width: int,
        heads: int = 4,
        window: int | None = None,
        causal: bool = True,
        positions: Literal["none", "rotary", "alibi", "relative"] = "rotary",
        kv_heads: int | None = None,
        score: Score = "scaled_dot",
        qk_norm: bool = False,
        rotary_scaling: Literal["linear", "ntk"] | None = None,
        trained_length: int | None = None,
        position_range: int | None = None,
        plain: bool = False,
        *,
        rngs: nnx.Rngs,
    ):
        require(heads >= 1, f"heads={heads} is below 1")
        require(
            width % heads == 0,
            f"heads={heads} does not divide the width {width}; choose one of "
            + ", ".join(str(h) for h in range(1, min(width, 65)) if width % h == 0),
        )
        require(
            window is None or window >= 1,
            f"window={window} is below 1; a window of 1 is the position itself, None is global",
        )
        require(
            positions not in ("rotary", "relative") or (width // heads) % 2 == 0,
            f"positions={positions!r} turns pairs of features; a head has an odd {width // heads}",
        )
        require(
            kv_heads is None or (kv_heads >= 1 and heads % kv_heads == 0),
            f"kv_heads={kv_heads} does not divide heads={heads}",
        )
        require(
            score != "additive" or positions == "none",
            f"positions={positions!r} works on products of queries and keys, and score='additive' "
            "has none; set it to 'none'",
        )
        _require_position_settings(
            positions, window, width // heads, rotary_scaling, trained_length, position_range
        )
        self.width = width
        self.heads = heads
        self.window = window
        self.causal = causal
        self.rank = None if positions == "none" and window is None else 1
        self.positions = positions
        self.rotary_scaling: Literal["linear", "ntk"] | None = rotary_scaling
        self.trained_length = trained_length
        self.position_range = position_range
        self.kv_heads = kv_heads or heads
        self.head_width = width // heads
        self.score: Score = score
        self.plain = plain
        H, G, K = heads, self.kv_heads, self.head_width
        several = [{"H": H, "K": K}, {"G": G, "K": K}, {"G": G, "U": K}]
        self.queries, self.keys, self.values = linears({"D": width}, several, "inputs", rngs=rngs)
        self.outputs = Linear({"H": H, "U": K}, {"D": width}, rngs=rngs)
        self.norms = nnx.List([Norm(K, "rms", "K", rngs=rngs) for _ in range(2 if qk_norm else 0)])
        if positions == "relative":
            initial = nnx.initializers.lecun_normal(batch_axis=0)
            self.offsets = parameter(initial(rngs.params(), (heads, K, K)), "HKK", decays=True)
            self.content_bias = parameter(jnp.zeros((heads, K)), "HK", decays=False)
            self.offset_bias = parameter(jnp.zeros((heads, K)), "HK", decays=False)
        if score == "additive":
            normal = nnx.initializers.normal(1.0)
            self.vector = parameter(normal(rngs.params(), (heads, K)), "HK", decays=False)

    def __call__(
        self,
        x: Float[Array, "B *L D"],
        mask: Bool[Array, "B *L"] | None = None,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "B *L D"]:
        """Attends within whole sequences or grids; masked positions are seen by none."""
        shape = x.shape
        x = x.reshape(shape[0], -1, shape[-1])
        length = x.shape[1]
        mask = None if mask is None else jnp.reshape(mask, x.shape[:2])
        rows = jnp.full(x.shape[:1], length) if mask is None else jnp.sum(mask, axis=1)
        if self.position_range is None:
            positions = jnp.broadcast_to(jnp.arange(length)[None], x.shape[:2])
        else:
            self._require_room(length)
            positions = spread_positions(length, self.position_range, rows, key)
        query, keys, values = self._project(x, positions, rows)
        record_attention("self", lambda: self._weights(query, keys, mask))
        mixed = self._attend(query, keys, values, self.causal, self.window, mask)
        return self.outputs(mixed).reshape(shape)

    def initial_state(self, batch_size: int, max_length: int) -> State:
        """Room for the keys and values still to be seen: max_length, or W - 1 of a window."""
        room = max_length if self.window is None else self.window - 1
        shape = (batch_size, room, self.kv_heads)
        return {
            "keys": jnp.zeros((*shape, self._key_width), jnp.float32),
            "values": jnp.zeros((*shape, self.head_width), jnp.float32),
            "length": jnp.zeros((batch_size,), jnp.int32),
        }

    def extend(self, x: Float[Array, "B L D"], state: State) -> tuple[Float[Array, "B L D"], State]:
        """Attends from a chunk to what the state keeps and to the chunk itself."""
        cache: dict[str, Any] = state
        places = cache["length"][:, None] + jnp.arange(x.shape[1])[None]
        whole = cache["keys"].shape[1]  # of global attention: the length that there is room for
        positions = places
        if self.position_range is not None:
            self._require_room(whole)
            positions = places * (self.position_range // whole)
        query, keys, values = self._project(x, positions, jnp.full(x.shape[:1], whole))
        extend = self._extend_global if self.window is None else self._extend_local
        mixed, kept = extend(query, keys, values, places, cache)
        kept["length"] = cache["length"] + x.shape[1]
        return self.outputs(mixed), kept

    def _extend_global(self, query, keys, values, places, cache):
        rows = jnp.arange(query.shape[0])[:, None]
        put = lambda old, new: old.at[rows, places].set(new.astype(old.dtype))  # noqa: E731
        kept = {"keys": put(cache["keys"], keys), "values": put(cache["values"], values)}
        all_keys, all_values = (kept[n].astype(query.dtype) for n in ("keys", "values"))
        mixed = self._attend(query, all_keys, all_values, True, None, None, cache["length"])
        return mixed, kept

    def _extend_local(self, query, keys, values, places, cache):
        del places
        room = cache["keys"].shape[1]
        append = lambda old, new: jnp.concatenate([old.astype(new.dtype), new], axis=1)  # noqa: E731
        all_keys, all_values = append(cache["keys"], keys), append(cache["values"], values)
        # The cache is filled from its end: slots that nothing has reached yet are masked.
        slots = jnp.arange(all_keys.shape[1])[None]
        mask = slots >= room - cache["length"][:, None]
        mixed = self._attend(query, all_keys, all_values, True, self.window, mask, room)
        last = lambda x: x[:, x.shape[1] - room :].astype(jnp.float32)  # noqa: E731
        return mixed, {"keys": last(all_keys), "values": last(all_values)}

    def _require_room(self, length: int) -> None:
        require(
            self.position_range is None or length <= self.position_range,
            f"position_range={self.position_range} has fewer positions than the length {length} "
            "that is asked for",
        )

    def _project(
        self, x: Float[Array, "B L D"], positions: Int[Array, "B L"], rows: Int[Array, "B"]
    ) -> list[Float[Array, "B L H K"]]:
        query, keys, values = self.queries(x), self.keys(x), self.values(x)
        if self.norms:
            query, keys = self.norms[0](query), self.norms[1](keys)
        if self.positions == "rotary":
            frequencies = None
            if self.rotary_scaling is not None and self.trained_length is not None:
                frequencies = scaled_frequencies(
                    self.rotary_scaling, rows, self.trained_length, self.head_width
                )
            query, keys = (rotate(x, positions, frequencies) for x in (query, keys))
        elif self.positions == "relative":
            bias = [
                b[...].astype(x.dtype)[None, None] for b in (self.content_bias, self.offset_bias)
            ]
            by_offset = relative_query(query + bias[1], self.offsets[...], positions)
            query = jnp.concatenate([query + bias[0], by_offset], axis=-1)
            places = relative_key(positions, self.head_width).astype(x.dtype)[:, :, None]
            places = jnp.broadcast_to(places, keys.shape)
            keys = jnp.concatenate([keys, places], axis=-1)
        return [query, keys, values]

    @property
    def _key_width(self) -> int:
        """Features that a query and a key meet in."""
        return self.head_width * (2 if self.positions == "relative" else 1)

    def _attend(
        self, query, keys, values, causal, window, mask, offset: int | Int[Array, "B"] = 0
    ) -> Float[Array, "B L H K"]:
        seen: dict[str, Any] = {"causal": causal, "window": window, "mask": mask, "offset": offset}
        if self.score == "additive":
            function = additive_attention_reference if self.plain else additive_attention
            keys, values = self._repeat(keys), self._repeat(values)
            return function(query, keys, values, self.vector[...], **seen)
        function = attention_reference if self.plain else attention
        return function(query, keys, values, **self._product, **seen)

    def _weights(self, query, keys, mask) -> Float[Array, "B H L L"]:
        seen: dict[str, Any] = {"causal": self.causal, "window": self.window, "mask": mask}
        if self.score == "additive":
            return additive_weights(query, self._repeat(keys), self.vector[...], **seen)
        return attention_weights(query, keys, **self._product, **seen)

    def _repeat(self, x: Float[Array, "B L G K"]) -> Float[Array, "B L H K"]:
        return jnp.repeat(x, self.heads // self.kv_heads, axis=2)

    @property
    def _product(self) -> dict[str, Any]:
        """How products of queries and keys become scores."""
        return {
            "scale": 1.0 if self.score == "dot" else 1 / math.sqrt(self.head_width),
            "slopes": alibi_slopes(self.heads) if self.positions == "alibi" else None,
        }

    def cost(self, length: int) -> Cost:
        """The projections, then scores and sums over the keys that each query sees."""
        seen = length if self.window is None else min(length, self.window)
        if self.causal:
            pairs = seen * (seen + 1) / 2 + (length - seen) * seen
        elif self.window is None:
            pairs = length**2
        else:
            side = min(self.window, length - 1)
            pairs = length + 2 * (side * length - side * (side + 1) / 2)
        kept = length if self.window is None else self.window - 1
        K, key_width = self.head_width, self._key_width
        projections = self.width * (2 * self.heads + 2 * self.kv_heads) * K
        if self.positions == "relative":
            projections += self.heads * K**2
        # An additive score is a product of the tanh with v: as many operations as q . k.
        return Cost(
            flops=length * 2 * projections + pairs * 2 * self.heads * (key_width + K),
            state_bytes=kept * self.kv_heads * (key_width + K) * 4 if self.causal else 0,
            sequential_depth=1,
        )


def _require_position_settings(
    positions: str,
    window: int | None,
    head_width: int,
    scaling: str | None,
    trained_length: int | None,
    position_range: int | None,
) -> None:
    """Refuses settings for long sequences that nothing would read."""
    require(
        scaling is None or (positions == "rotary" and window is None),
        f"rotary_scaling={scaling!r} is of rotary positions without a window: here "
        f"positions={positions!r}, window={window}; set it to None",
    )
    require(
        scaling != "ntk" or head_width > 2,
        "rotary_scaling='ntk' takes heads wider than 2; take 'linear' or fewer heads",
    )
    owner = f"rotary_scaling={scaling!r}"
    require_with(trained_length, scaling is not None, "trained_length", owner)
    require(
        trained_length is None or trained_length >= 1, f"trained_length={trained_length} is below 1"
    )
    require(
        position_range is None or (positions in ("rotary", "relative") and window is None),
        f"position_range={position_range} spreads positions that are encoded, and a window bounds "
        f"distances by itself: here positions={positions!r}, window={window}; set it to None",
    )
    require(
        position_range is None or position_range >= 1, f"position_range={position_range} is below 1"
    )
