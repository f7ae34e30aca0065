"""Self-attention: every position looks at all others, or at a window of them."""

from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Float, State
from seqmodels.errors import require
from seqmodels.layers import Linear, Norm, linears
from seqmodels.mixers.base import Context, Cost, Mixer, Room, features_of_a_head
from seqmodels.mixers.cache import Kept, Seen, begin_cache, extend_cache
from seqmodels.mixers.encodings import Encoding, PositionEncoding, Relative
from seqmodels.mixers.forgetting import Forgetting, check_forgetting, with_bias
from seqmodels.mixers.scores import Scores
from seqmodels.mixers.short_convolution import Short, ShortConvolutions
from seqmodels.mixers.sinks import First, check_sinks, read_first
from seqmodels.observing import observe
from seqmodels.ops.attention.additive import ADDITIVE, Score
from seqmodels.ops.attention.dot_product import ATTENTION
from seqmodels.ops.attention.sinks import join_sinks, sink_weights
from seqmodels.parameters import parameter


class Attention(Mixer):
    """Multi-head self-attention (Vaswani et al. 2017), global or local.

    **Window W means W keys, the query's own included (causal), or W on each side and
    itself (bidirectional).** Without positions it is an operation on a set: permuting
    the inputs of a bidirectional, global one permutes its outputs.

    Its arguments are the keys of one section of a config, side by side; what belongs together is a
    part of its own inside: :class:`~seqmodels.mixers.encodings.Encoding`,
    :class:`~seqmodels.mixers.scores.Scores`, and the cache.

    Args:
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
      score: how well queries and keys match (:data:`~seqmodels.ops.attention.additive.Score`).
      qk_norm: whether each head's queries and keys are RMS-normalised (Henry et al. 2020).
      rotary_scaling: how rotary positions are squeezed beyond ``trained_length``, "linear" or
        "ntk" (:func:`~seqmodels.ops.positions.scaled_frequencies`), by each sequence's own
        length; None leaves them.
      trained_length: the longest sequence of training, for that; None otherwise.
      position_range: draws the positions of a sequence in training from so many, in order, and
        spreads them evenly otherwise (randomised positions, Ruoss et al. 2023); None counts them.
      forgetting: whether each head lowers the scores of what lies behind by gates of all positions
        since (:class:`~seqmodels.mixers.forgetting.Forgetting`); causal, of products alone.
      sinks: how many first positions stay in sight where a window has left them (Xiao et al.
        2024), at their own distance; causal. None for none.
      sink_logit: whether each head has a learned score for attending to nothing (OpenAI 2025).
      form: by which form whole sequences and prompts are computed: of products a name in
        :data:`~seqmodels.ops.attention.dot_product.ATTENTION`, of additive scores in
        :data:`~seqmodels.ops.attention.additive.ADDITIVE`; "whole" holds all scores at once, in
        memory that grows with L^2. None takes the one that suits.
      short: the block's short convolution, of queries, keys and values before they are normalised
        and turned.
    """

    def __init__(
        self,
        width: int,
        heads: int = 4,
        window: int | None = None,
        causal: bool = True,
        positions: PositionEncoding = "rotary",
        kv_heads: int | None = None,
        score: Score = "scaled_dot",
        qk_norm: bool = False,
        rotary_scaling: Literal["linear", "ntk"] | None = None,
        trained_length: int | None = None,
        position_range: int | None = None,
        forgetting: bool = False,
        sinks: int | None = None,
        sink_logit: bool = False,
        form: str | None = None,
        *,
        short: Short | None = None,
        rngs: nnx.Rngs,
    ):
        K = features_of_a_head(width, heads)
        require(
            window is None or window >= 1,
            f"window={window} is below 1; a window of 1 is the position itself, None is global",
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
        check_forgetting(forgetting, causal, score)
        check_sinks(sinks, sink_logit, causal, window, score, forgetting)
        (ADDITIVE if score == "additive" else ATTENTION).require_form(form)
        self.width = width
        self.form = form
        self.heads = heads
        self.kv_heads = kv_heads or heads
        self.head_width = K
        self.window = window
        self.causal = causal
        is_set = positions == "none" and window is None and not (forgetting or sink_logit)
        self.rank = None if is_set else 1
        self.position_range = self.longest = position_range
        self.encoding = Encoding(positions, rotary_scaling, trained_length, position_range)
        self.encoding.check(K, window)
        self.score = Scores(score, K, self.encoding.slopes(heads))
        H, G = heads, self.kv_heads
        several = [{"H": H, "K": K}, {"G": G, "K": K}, {"G": G, "U": K}]
        self.queries, self.keys, self.values = linears({"D": width}, several, "inputs", rngs=rngs)
        self.outputs = Linear({"H": H, "U": K}, {"D": width}, rngs=rngs)
        projections = dict(zip(self.convolved, several, strict=True))
        self.short = ShortConvolutions(short, projections, causal=causal, rngs=rngs)
        self.norms = nnx.List([Norm(K, "rms", "K", rngs=rngs) for _ in range(2 if qk_norm else 0)])
        self.forgetting = Forgetting(width, heads, rngs=rngs) if forgetting else None
        self.sinks = sinks
        logits = parameter(jnp.zeros((heads,)), "H", decays=False) if sink_logit else None
        self.sink_logits = logits
        if positions == "relative":
            initial = nnx.initializers.lecun_normal(batch_axis=0)
            self.offsets = parameter(initial(rngs.params(), (heads, K, K)), "HKK", decays=True)
            self.content_bias = parameter(jnp.zeros((heads, K)), "HK", decays=False)
            self.offset_bias = parameter(jnp.zeros((heads, K)), "HK", decays=False)
        if score == "additive":
            normal = nnx.initializers.normal(1.0)
            self.vector = parameter(normal(rngs.params(), (heads, K)), "HK", decays=False)

    convolved = ("queries", "keys", "values")
    state_settings = ("window", "kv_heads")

    @property
    def state_letters(self) -> dict[str, Any]:
        """Keys and values: of all that is read, or of what the window still reaches."""
        kept = "L" if self.window is None else "W"
        letters = {"keys": f"B {kept} G K", "values": f"B {kept} G U"}
        if self.forgetting is not None:
            letters["forgotten"] = f"B {kept} H"
        first = {} if self.sinks is None else {"first": letters}
        return letters | first | self.short.state_letters

    def initial_state(self, batch_size: int, room: int) -> State:
        """Zeros for the keys and values still to be seen: ``room``, or W - 1 of a window."""
        cache = self._cache(batch_size, room if self.window is None else self.window - 1)
        first = {} if self.sinks is None else {"first": self._cache(batch_size, self.sinks)}
        return cache | first | self.short.initial_state(batch_size)

    def _cache(self, rows: int, length: int) -> Kept:
        shape = (rows, length, self.kv_heads)
        cache = {
            "keys": jnp.zeros((*shape, self.encoding.key_width(self.head_width)), jnp.float32),
            "values": jnp.zeros((*shape, self.head_width), jnp.float32),
        }
        if self.forgetting is not None:
            cache["forgotten"] = jnp.zeros((rows, length, self.heads), jnp.float32)
        return cache

    def mix(
        self, x: Float[Array, "B *L D"], state: State | None, context: Context
    ) -> tuple[Float[Array, "B *L D"], State | None]:
        """Attends from each position to what it sees of the chunk and of what the state keeps."""
        shape = x.shape
        x = x.reshape(shape[0], -1, shape[-1])
        projected = {"queries": self.queries(x), "keys": self.keys(x), "values": self.values(x)}
        projected, short = self.short(projected, state, context)
        query, keys = self._encode(projected["queries"], projected["keys"], context)
        new, mask = {"keys": keys, "values": projected["values"]}, None
        if self.forgetting is not None:
            new["forgotten"] = -self.forgetting(x, context)
        if state is None and context.valid is not None:
            mask = jnp.reshape(context.valid, x.shape[:2])
        seen, after, form = Seen(new, mask, 0), None, self.form
        if isinstance(state, Room):
            after = begin_cache(new, state.positions, self.window, context)
        elif state is not None:
            seen, after = extend_cache(state, new, self.window, context)
            form = None  # few queries at places that aren't known while tracing
        first, kept = read_first(new, self.sinks, state, context)
        after = None if after is None else after | kept
        if after is not None and self.forgetting is not None:
            # The sums up to each key become those since it.
            caches: list[Any] = [after] if self.sinks is None else [after, after["first"]]
            for cache in caches:
                cache["forgotten"] -= new["forgotten"][:, -1:]
        mixed = self._attend(query, seen, first, context, form)
        return self.outputs(mixed).reshape(shape), None if after is None else after | short

    def _attend(
        self,
        query: Float[Array, "B L H Kq"],
        seen: Seen,
        first: First,
        context: Context,
        form: str | None,
    ) -> Float[Array, "B L H U"]:
        """From queries to the keys that are seen, and to the sinks."""
        near, keys = self._biased(query, seen.arrays)
        values = seen.arrays["values"]
        if self.forgetting is not None:
            values = jnp.repeat(values, self.heads // self.kv_heads, axis=2)
        vector = self.vector[...] if self.score.kind == "additive" else None
        view: dict[str, Any] = {
            "causal": self.causal,
            "window": self.window,
            "mask": seen.valid,
            "offset": seen.offset,
        }
        if self.sinks is None and self.sink_logits is None:
            observe("weights", lambda: self.score.weights(near, keys, vector, **view))
            return self.score.mix(near, keys, values, vector, **view, form=form)
        mixed, log_sum = self.score.mix_and_sum(near, keys, values, **view, form=form)
        far, sinks = self._biased(query, first.arrays)
        assert context.positions is not None
        scores = self.score.products(far, sinks, context.positions, first.places)
        visible = first.visible(context.positions, self.window or 0)  # [B, L, S]
        scores = jnp.where(visible[:, :, None], scores, -jnp.inf)
        logits = None if self.sink_logits is None else self.sink_logits[...]
        if self.sinks is None or seen.offset == 0:  # or they aren't among the keys seen
            observe(
                "weights",
                lambda: sink_weights(
                    self.score.weights(near, keys, None, **view),
                    log_sum,
                    scores,
                    first.places,
                    logits,
                ),
            )
        return join_sinks(mixed, log_sum, scores, first.arrays["values"], logits)

    def _biased(
        self, query: Float[Array, "B L H Kq"], cache: Kept
    ) -> tuple[Float[Array, "B L H Kb"], Float[Array, "B N Gb Kb"]]:
        """Queries and keys, with what lies between them forgotten."""
        if self.forgetting is None:
            return query, cache["keys"]
        return with_bias(query, cache["keys"], cache["forgotten"], self.score.scale)

    def _encode(
        self, query: Float[Array, "B L H K"], keys: Float[Array, "B L G K"], context: Context
    ) -> tuple[Float[Array, "B L H Kq"], Float[Array, "B L G Kq"]]:
        """Normalised, where they are, and told where they stand."""
        if self.norms:
            query, keys = self.norms[0](query), self.norms[1](keys)
        relative = None
        if self.encoding.kind == "relative":
            learned = (self.offsets, self.content_bias, self.offset_bias)
            relative = Relative(*(parameter[...] for parameter in learned))
        return self.encoding.encode(query, keys, context, relative)

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
        if self.sinks is not None and self.window is not None:
            beyond = max(0, length - self.window)
            few = min(beyond, self.sinks)
            pairs += few * (few + 1) / 2 + (beyond - few) * few
        K, key_width = self.head_width, self.encoding.key_width(self.head_width)
        projections = self.width * (2 * self.heads + 2 * self.kv_heads) * K
        if self.encoding.kind == "relative":
            projections += self.heads * K**2
        if self.forgetting is not None:
            projections += self.width * self.heads
        # An additive score is a product of the tanh with v: as many operations as q . k.
        return Cost(
            flops=length * 2 * projections + pairs * 2 * self.heads * (key_width + K),
            state_bytes=self.state_bytes(length),
            sequential_depth=1 + self.short.depth,
        )
