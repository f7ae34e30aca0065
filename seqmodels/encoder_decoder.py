"""Models that write a sequence: from one input, or from a source sequence."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import AnyArray, Array, Bool, Float, Int, Key, State
from seqmodels.config import Section, construct
from seqmodels.errors import require, require_with, under
from seqmodels.layers import Embedding, Linear
from seqmodels.mixers import Cost, CrossAttention
from seqmodels.ops.attention.additive import Score
from seqmodels.stack import ModelSettings, Stack, StackSettings, pool
from seqmodels.tasks.base import Batch, TaskSpec


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderSettings(ModelSettings):
    """A config's ``model`` section for tasks that write a sequence."""

    decoder: Section
    """Its blocks, of causal mixers (:class:`~seqmodels.stack.StackSettings`)."""
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

    Args:
      settings: the config's section.
      spec: what the task needs of a model.
      rngs: the source of the initial weights.
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
            make_cross = lambda: CrossAttention(  # noqa: E731
                width, settings.cross_heads or 1, cross, rngs=rngs
            )
        self.decoder = _stack(
            settings.decoder, "model.decoder", settings, causal=True, cross=make_cross, rngs=rngs
        )
        self.attends = attends
        tied = settings.tied_embeddings
        self.head = None if tied else Linear({"D": width}, {"V": spec.outputs}, rngs=rngs)

    @property
    def causal(self) -> bool:
        """Whether extend is possible: always, as a decoder's mixers must be causal."""
        return self.decoder.causal

    def __call__(self, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, "B P V"]:
        """Scores of each target token, given those before it."""
        self.check_length(max(batch.targets.shape[1], *batch.inputs.shape[1 : 1 + self.rank], 1))
        keys = [None] * 3 if key is None else list(jax.random.split(key, 3))
        summary, source, mask = self._read(batch, keys[0])

        def scores(tokens):
            x = self._embed(tokens, None, summary)
            return self._score(self.decoder.run(x, None, keys[1], source, mask)[0])

        tokens = self._previous(batch.targets)
        if keys[2] is not None and self.scheduled_sampling > 0:
            # In bfloat16 the noise, of 8 bits, would never draw what is unlikely.
            made = jax.lax.stop_gradient(scores(tokens)).astype(jnp.float32)
            own = jax.random.categorical(keys[2], made)
            replaced = jax.random.bernoulli(
                jax.random.fold_in(keys[2], 1), self.scheduled_sampling, tokens.shape
            )
            tokens = jnp.where(replaced, self._previous(own), tokens)
        return scores(tokens)

    def initial_state(self, batch_size: int, max_length: int) -> State:
        """Not possible: what is written depends on what was read; see :meth:`start`."""
        raise TypeError("this model continues from a batch's inputs: use start")

    def start(self, batch: Batch, max_length: int) -> State:
        """Reads a batch's inputs; the state before the first token is written."""
        self.check_length(max_length)
        summary, source, mask = self._read(batch, None)
        rows = batch.inputs.shape[0]
        sources = None
        if source is not None:
            sources = [
                block.cross.project(source, mask)
                for block in self.decoder.blocks
                if block.cross is not None
            ]
        return {
            "length": jnp.zeros((rows,), jnp.int32),
            "blocks": self.decoder.mixer_states(rows, max_length),
            "summary": summary,
            "sources": sources,
        }

    def extend(
        self, inputs: Int[AnyArray, "B L"], state: State, key: Key[Array, ""] | None = None
    ) -> tuple[Float[Array, "B L V"], State]:
        """Scores of what follows each of the tokens given; the first token is V, to begin."""
        before: dict[str, Any] = state
        positions = before["length"][:, None] + jnp.arange(inputs.shape[1])[None]
        x = self._embed(inputs, positions, before["summary"])
        x, states = self.decoder.run_from(x, before["blocks"], key, before["sources"])
        length = before["length"] + inputs.shape[1]
        return self._score(x), before | {"length": length, "blocks": states}

    @property
    def reading_stack(self) -> Stack:
        """The blocks that read the inputs; the decoder's where these are no sequence."""
        return self.decoder if self.encoder is None else self.encoder

    def read_axes(self, batch: Batch) -> tuple[int, ...]:
        """How many positions those blocks have along each axis."""
        if self.encoder is None:
            return batch.targets.shape[1:]
        return batch.inputs.shape[1 : 1 + self.rank]

    def cost(self, length: int) -> Cost:
        """The forward cost of reading and writing ``length`` positions each."""
        total = Cost(length * 2 * self.width * self.outputs, 0, 1)
        if self.encoder is not None:
            # Its state is not kept: only what the decoder makes of its outputs.
            total += self.encoder.stack_cost(length)._replace(state_bytes=0)
        return total + self.decoder.stack_cost(length, length if self.attends else 0)

    def check_length(self, length: int) -> None:
        """Raises ConfigError where learned positions end before a length."""
        self.written.check_length(length)

    def _read(
        self, batch: Batch, key: Key[Array, ""] | None
    ) -> tuple[
        Float[Array, "B D"] | None, Float[Array, "B S D"] | None, Bool[AnyArray, "B S"] | None
    ]:
        """The summary of the inputs; and the encoder's outputs with their mask, if attended to."""
        if self.encoder is None:
            return self.embedding(batch.inputs[:, None])[:, 0], None, None
        x, mask = self.encoder.run(self.embedding(batch.inputs), batch.mask, key)
        x = self.encoder.normalise(x)
        summary = pool(x, mask, self.pooling) if self.pooling is not None else None
        if not self.attends:
            return summary, None, None
        mask = None if mask is None else mask.reshape(len(mask), math.prod(mask.shape[1:]))
        return summary, x.reshape(x.shape[0], -1, x.shape[-1]), mask

    def _previous(self, tokens: Int[AnyArray, "B P"]) -> Int[Array, "B P"]:
        """The token before each position: the begin token, V, and all but the last."""
        return jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=self.outputs)

    def _embed(self, tokens, positions, summary):
        x = self.written(tokens, positions)
        return x if summary is None else x + summary[:, None]

    def _score(self, x: Float[Array, "B L D"]) -> Float[Array, "B L V"]:
        x = self.decoder.normalise(x)
        return self.written.scores(x, self.outputs) if self.head is None else self.head(x)


def _stack(section: Section, path: str, model: EncoderDecoderSettings, **given: Any) -> Stack:
    """The blocks of one side; what they can't use is refused by the section's path."""
    settings = construct(StackSettings, section, path)
    with under(path):
        return Stack(settings, model, model.width, prefix=path, **given)
