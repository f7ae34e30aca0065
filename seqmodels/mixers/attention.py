"""Self-attention: every position looks at all others, or at a window of them."""

from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Bool, Float, Int, Key, State
from seqmodels.errors import require
from seqmodels.layers import Linear
from seqmodels.mixers.base import Cost
from seqmodels.ops.attention import attention
from seqmodels.ops.positions import rotate


class Attention(nnx.Module):
    """Multi-head scaled dot-product self-attention (Vaswani et al. 2017), global or local.

    **Window W means W keys, the query's own included (causal), or W on each side and
    itself (bidirectional).** Without positions it is an operation on a set: permuting
    the inputs of a bidirectional, global one permutes its outputs.

    Args:
      width: the model width D.
      heads: the number of heads H, which divides D; each has width K = D / H.
      window: W, or None for global attention.
      causal: whether a query sees only its own and earlier positions.
      positions: "rotary" turns queries and keys by their positions; "none" does not.
      rngs: the source of the initial weights.
    """

    stride = 1

    def __init__(
        self,
        width: int,
        heads: int = 4,
        window: int | None = None,
        causal: bool = True,
        positions: Literal["none", "rotary"] = "rotary",
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
            positions == "none" or (width // heads) % 2 == 0,
            f"positions='rotary' turns pairs of features; a head has an odd {width // heads}",
        )
        self.width = width
        self.heads = heads
        self.window = window
        self.causal = causal
        self.rank = None if positions == "none" and window is None else 1
        self.positions: Literal["none", "rotary"] = positions
        self.inputs = Linear(width, 3 * width, rngs=rngs)
        self.outputs = Linear(width, width, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "B *L D"],
        mask: Bool[Array, "B *L"] | None = None,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "B *L D"]:
        """Attends within whole sequences or grids; masked positions are seen by none."""
        del key
        shape = x.shape
        x = x.reshape(shape[0], -1, shape[-1])
        mask = None if mask is None else jnp.reshape(mask, x.shape[:2])
        positions = jnp.broadcast_to(jnp.arange(x.shape[1])[None], x.shape[:2])
        query, keys, values = self._project(x, positions)
        mixed = attention(query, keys, values, causal=self.causal, window=self.window, mask=mask)
        return self.outputs(mixed.reshape(shape))

    def initial_state(self, batch_size: int, max_length: int) -> State:
        """Room for the keys and values still to be seen: max_length, or W - 1 of a window."""
        room = max_length if self.window is None else self.window - 1
        shape = (batch_size, room, self.heads, self.width // self.heads)
        return {
            "keys": jnp.zeros(shape, jnp.float32),
            "values": jnp.zeros(shape, jnp.float32),
            "length": jnp.zeros((batch_size,), jnp.int32),
        }

    def extend(self, x: Float[Array, "B L D"], state: State) -> tuple[Float[Array, "B L D"], State]:
        """Attends from a chunk to what the state keeps and to the chunk itself."""
        cache: dict[str, Any] = state
        positions = cache["length"][:, None] + jnp.arange(x.shape[1])[None]
        query, keys, values = self._project(x, positions)
        extend = self._extend_global if self.window is None else self._extend_local
        mixed, kept = extend(query, keys, values, positions, cache)
        kept["length"] = cache["length"] + x.shape[1]
        return self.outputs(mixed.reshape(x.shape)), kept

    def _extend_global(self, query, keys, values, positions, cache):
        rows = jnp.arange(query.shape[0])[:, None]
        put = lambda old, new: old.at[rows, positions].set(new.astype(old.dtype))  # noqa: E731
        kept = {"keys": put(cache["keys"], keys), "values": put(cache["values"], values)}
        all_keys, all_values = (kept[n].astype(query.dtype) for n in ("keys", "values"))
        mixed = attention(query, all_keys, all_values, causal=True, offset=cache["length"])
        return mixed, kept

    def _extend_local(self, query, keys, values, positions, cache):
        del positions
        room = cache["keys"].shape[1]
        append = lambda old, new: jnp.concatenate([old.astype(new.dtype), new], axis=1)  # noqa: E731
        all_keys, all_values = append(cache["keys"], keys), append(cache["values"], values)
        # The cache is filled from its end: slots that nothing has reached yet are masked.
        slots = jnp.arange(all_keys.shape[1])[None]
        mask = slots >= room - cache["length"][:, None]
        mixed = attention(
            query, all_keys, all_values, causal=True, window=self.window, mask=mask, offset=room
        )
        last = lambda x: x[:, x.shape[1] - room :].astype(jnp.float32)  # noqa: E731
        return mixed, {"keys": last(all_keys), "values": last(all_values)}

    def _project(
        self, x: Float[Array, "B L D"], positions: Int[Array, "B L"]
    ) -> list[Float[Array, "B L H K"]]:
        projected = self.inputs(x).reshape(*x.shape[:2], 3, self.heads, -1)  # [B, L, 3, H, K]
        query, keys, values = (projected[:, :, i] for i in range(3))
        if self.positions == "rotary":
            query, keys = rotate(query, positions), rotate(keys, positions)
        return [query, keys, values]

    def cost(self, length: int) -> Cost:
        """Four projections, then scores and sums over the keys that each query sees."""
        seen = length if self.window is None else min(length, self.window)
        if self.causal:
            pairs = seen * (seen + 1) / 2 + (length - seen) * seen
        elif self.window is None:
            pairs = length**2
        else:
            side = min(self.window, length - 1)
            pairs = length + 2 * (side * length - side * (side + 1) / 2)
        kept = length if self.window is None else self.window - 1
        return Cost(
            flops=length * 8 * self.width**2 + pairs * 4 * self.width,
            state_bytes=kept * 2 * self.width * 4 if self.causal else 0,
            sequential_depth=1,
        )
