"""Models that write a sequence: from one input, or from a source sequence."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import AnyArray, Array, Bool, Float, Int, Key, State
from seqmodels.config import Section, construct
from seqmodels.errors import require, require_with, under
from seqmodels.layers import Embedding, Linear
from seqmodels.mixers import CrossAttention
from seqmodels.observing import within
from seqmodels.ops.attention.additive import Score
from seqmodels.ops.turns import in_turn
from seqmodels.stack import Stack, pool
from seqmodels.stack_settings import ModelSettings, StackSettings
from seqmodels.state import extend_state, start_state
from seqmodels.tasks.base import Batch, TaskSpec


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderSettings(ModelSettings):
    """A config's ``model`` section for tasks that write a sequence."""

    decoder: Section
    """Its blocks, of causal mixers (:class:`~seqmodels.stack_settings.StackSettings`)."""
    encoder: Section | None = None
    """The same of any mixers; None for one-to-many."""
    cross: Score | Literal["none"] = "none"
    """How the decoder attends to the source."""
    cross_heads: int | None = None
    """Heads of that; None without it."""
    scheduled_sampling: float = 0.0
    """The share of true tokens that training replaces by tokens drawn from the model's own scores,
    of a first pass over the true ones (Bengio et al. 2015; Mihaylova and Martins 2019)."""

    def __post_init__(self):
        super().__post_init__()
        require_with(self.cross_heads, self.cross != "none", "cross_heads", f"cross={self.cross!r}")
        require(
            0 <= self.scheduled_sampling <= 1,
            f"scheduled_sampling={self.scheduled_sampling} is not within 0 and 1",
        )


class EncoderDecoder(nnx.Module):
    """A decoder that writes token by token, and the encoder whose source it writes about.

    Sequence-to-sequence is many-to-one followed by one-to-many (Sutskever et al. 2014): the
    encoder's summary of the source is added to every input of the decoder (as in Cho et al.
    2014), so any mixers serve on either side. With cross-attention each block of the decoder
    looks at all of the source at each step, after its mixer (Bahdanau et al. 2015; Vaswani et
    al. 2017); it takes that in place of the summary, or both. In a one-to-many task the
    summary is the embedded input, without an encoder.

    The decoder reads the token before each position: a begin token first, then in training
    the true ones (teacher forcing).
    """

    def __init__(self, settings: EncoderDecoderSettings, *, spec: TaskSpec, rngs: nnx.Rngs):
        width, encoder, cross = settings.width, settings.encoder, settings.cross
        pooling, max_length = settings.pooling, settings.max_length
        reads, attends = spec.shape == "sequence-to-sequence", cross != "none"
        require(
            (encoder is not None) == reads,
            f"encoder={'None' if encoder is None else '{...}'}: a {spec.shape} task "
            + ("needs one, to read its source" if reads else "has no source to read; set it None"),
        )
        require(
            reads or not attends,
            f"cross={cross!r}: a {spec.shape} task has no source to attend to; set it to 'none'",
        )
        if not reads:
            require_with(pooling, False, "pooling", f"a {spec.shape} task")
        require(
            attends or not reads or pooling is not None,
            "pooling=None with cross='none': the decoder learns nothing of its source; "
            "set pooling to 'last' or 'mean', or cross to 'scaled_dot' or 'additive'",
        )
        self.width = width
        self.pooling: Literal["mean", "last"] | None = pooling
        self.outputs = spec.outputs
        self.rank = spec.rank
        self.scheduled_sampling = settings.scheduled_sampling
        kind = jnp.dtype(settings.dtype)
        self.embedding = Embedding(
            spec.inputs,
            spec.input_size,
            width,
            settings.positions if reads else "none",
            max_length if reads else None,
            kind,
            rank=spec.rank,
            rngs=rngs,
        )
        reading: dict[str, Any] = {"rank": spec.rank, "strides": True, "rngs": rngs}
        self.encoder = (
            None if encoder is None else _stack(encoder, "model.encoder", settings, **reading)
        )
        # The tokens that may be written, and the begin token.
        self.written = Embedding(
            "tokens", spec.outputs + 1, width, settings.positions, max_length, kind, rngs=rngs
        )
        make_cross = None
        if cross != "none":
            heads = settings.cross_heads or 1
            make_cross = partial(CrossAttention, width, heads, cross, rngs=rngs)
        self.decoder = _stack(
            settings.decoder, "model.decoder", settings, causal=True, cross=make_cross, rngs=rngs
        )
        self.attends = attends
        tied = settings.tied_embeddings
        self.head = None if tied else Linear({"D": width}, {"V": spec.outputs}, rngs=rngs)

    def __call__(self, batch: Batch, key: Key[Array, ""] | None = None) -> Float[Array, "B P V"]:
        """Scores of each target token, given those before it."""
        return self.score(self.vectors(batch, key))

    def vectors(self, batch: Batch, key: Key[Array, ""] | None = None) -> Float[Array, "B P D"]:
        """What :meth:`score` makes into the scores of each target token."""
        self.check_length(max(batch.targets.shape[1], *batch.inputs.shape[1 : 1 + self.rank], 1))
        keys = [None] * 3 if key is None else list(jax.random.split(key, 3))
        summary, source, valid = self._read(batch, keys[0])
        lengths = self._source_lengths(batch)

        def decode(tokens):
            x, read = self._embed(tokens, summary, None), source
            if source is not None:
                x, read = in_turn(x, source)
            with within("decoder"):
                x, _ = self.decoder.whole(
                    x, None, keys[1], lengths=lengths, source=read, source_valid=valid
                )
            return x

        tokens = self._previous(batch.targets)
        if keys[2] is not None and self.scheduled_sampling > 0:
            # In bfloat16 the noise, of 8 bits, would never draw what is unlikely.
            made = jax.lax.stop_gradient(self.score(decode(tokens))).astype(jnp.float32)
            own = jax.random.categorical(keys[2], made)
            replaced = jax.random.bernoulli(
                jax.random.fold_in(keys[2], 1), self.scheduled_sampling, tokens.shape
            )
            tokens = jnp.where(replaced, self._previous(own), tokens)
        return decode(tokens)

    def start(
        self,
        batch: Batch,
        room: int,
        lengths: Int[AnyArray, "B"] | None = None,
        key: Key[Array, ""] | None = None,
    ) -> State:
        """Reads a batch's inputs; the state before the first token is written."""
        self.check_length(room)
        summary, source, valid = self._read(batch, None)
        lengths = self._source_lengths(batch) if lengths is None else lengths
        rows = batch.inputs.shape[0]
        ends = self.decoder.keeps_all or self.longest is not None
        state = start_state(self.decoder, rows, room, ends, lengths, key, source, valid)
        return state | {"summary": summary}

    def extend(
        self,
        inputs: Int[AnyArray, "B L"],
        state: State,
        valid: Bool[AnyArray, "B L"] | None = None,
        key: Key[Array, ""] | None = None,
        scored: Int[AnyArray, "B P"] | None = None,
    ) -> tuple[Float[Array, "B P V"], State]:
        """Scores of what follows each of the tokens given; the first token is V, to begin."""
        before: dict[str, Any] = state
        embed = partial(self._embed, inputs, before["summary"])
        with within("decoder"):
            return extend_state(
                self.decoder, state, inputs.shape[1], embed, self.score, valid, key, scored
            )

    @property
    def longest(self) -> int | None:
        """The longest sequence, read or written, that it serves; None for any."""
        ends = [
            self.written.max_length,
            self.decoder.longest,
            None if self.encoder is None else self.encoder.longest,
        ]
        return min((end for end in ends if end is not None), default=None)

    @property
    def reading_stack(self) -> Stack:
        """The blocks that read the inputs; the decoder's where these are no sequence."""
        return self.decoder if self.encoder is None else self.encoder

    def read_axes(self, batch: Batch) -> tuple[int, ...]:
        """How many positions those blocks have along each axis."""
        if self.encoder is None:
            return batch.targets.shape[1:]
        return batch.inputs.shape[1 : 1 + self.rank]

    def check_length(self, length: int) -> None:
        """Raises ConfigError where learned or spread positions end before a length."""
        self.written.check_length(length)
        for stack in (self.decoder, self.encoder):
            if stack is not None:
                stack.check_spread(length)

    def _source_lengths(self, batch: Batch) -> Int[Array, "B"] | None:
        """How long the decoder's rows count as, in training and in writing: as their sources."""
        if self.encoder is None:
            return None
        rows, axes = batch.inputs.shape[0], batch.inputs.shape[1 : 1 + self.rank]
        if batch.mask is None:
            return jnp.full((rows,), math.prod(axes), jnp.int32)
        return jnp.sum(jnp.reshape(batch.mask, (rows, -1)), axis=1, dtype=jnp.int32)

    def _read(
        self, batch: Batch, key: Key[Array, ""] | None
    ) -> tuple[
        Float[Array, "B D"] | None, Float[Array, "B S D"] | None, Bool[AnyArray, "B S"] | None
    ]:
        """The summary of the inputs; and the encoder's outputs with their mask, if attended to."""
        if self.encoder is None:
            return self.embedding(batch.inputs[:, None])[:, 0], None, None
        with within("encoder"):
            x, mask = self.encoder.whole(self.embedding(batch.inputs), batch.mask, key)
        x = self.encoder.normalise(x)
        summary = pool(x, mask, self.pooling) if self.pooling is not None else None
        if not self.attends:
            return summary, None, None
        mask = None if mask is None else mask.reshape(len(mask), math.prod(mask.shape[1:]))
        return summary, x.reshape(x.shape[0], -1, x.shape[-1]), mask

    def _previous(self, tokens: Int[AnyArray, "B P"]) -> Int[Array, "B P"]:
        """The token before each position: the begin token, V, and all but the last."""
        return jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=self.outputs)

    def _embed(self, tokens, summary, positions):
        x = self.written(tokens, positions)
        return x if summary is None else x + summary[:, None]

    def score(self, x: Float[Array, "*B D"]) -> Float[Array, "*B V"]:
        """Scores of vectors, each by itself."""
        x = self.decoder.normalise(x)
        return self.written.scores(x, self.outputs) if self.head is None else self.head(x)


def _stack(section: Section, path: str, model: EncoderDecoderSettings, **given: Any) -> Stack:
    """The blocks of one side; what they can't use is refused by the section's path."""
    settings = construct(StackSettings, section, path)
    with under(path):
        return Stack(settings, model, prefix=path, **given)
