"""The model around the mixers, and the pure functions that everything else sees."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import AnyArray, Array, Bool, Float, Int, Key, Params, State
from seqmodels.config import Section, construct
from seqmodels.encoder_decoder import EncoderDecoder, EncoderDecoderSettings
from seqmodels.errors import ConfigError, require, require_with, under
from seqmodels.layers import Embedding, Linear
from seqmodels.mixers import Cost
from seqmodels.model_cost import model_cost, one_row
from seqmodels.model_parts import Loss, Part, model_parts
from seqmodels.parameters import declared
from seqmodels.stack import Stack, pool
from seqmodels.stack_settings import ModelSettings, StackSettings
from seqmodels.state import extend_state, start_state
from seqmodels.tasks.base import Batch, TaskSpec


@dataclass(frozen=True, kw_only=True)
class SequenceSettings(StackSettings, ModelSettings):
    """A config's ``model`` section for many-to-one and many-to-many tasks."""

    patch: int | None = None
    """How many positions of each axis of a grid of features become one (Dosovitskiy et al. 2021);
    None keeps them."""

    def __post_init__(self):
        ModelSettings.__post_init__(self)
        StackSettings.__post_init__(self)


class SequenceModel(Stack):
    """Embedding, blocks, norm and head: for many-to-one and many-to-many tasks."""

    def __init__(self, settings: SequenceSettings, *, spec: TaskSpec, rngs: nnx.Rngs):
        pooling, patch = settings.pooling, settings.patch
        pools = spec.shape == "many-to-one"
        require_with(pooling, pools, "pooling", f"a {spec.shape} task")
        require(
            patch is None or (patch >= 1 and spec.inputs == "features" and pools),
            f"patch={patch} makes one position of several; that takes features as inputs and a "
            f"many-to-one task, and at least 1: this is a {spec.shape} task on {spec.inputs}; "
            "set it to None",
        )
        tied = settings.tied_embeddings
        require(
            not tied or (spec.inputs == "tokens" and spec.input_size == spec.outputs),
            "tied_embeddings=True scores the tokens that are read; this task reads "
            f"{spec.input_size} {spec.inputs} and scores {spec.outputs}: set it to False",
        )
        self.width = settings.width
        self.pooling: Literal["mean", "last"] | None = pooling
        self.outputs = spec.outputs
        self.patch = patch or 1
        self.embedding = Embedding(
            spec.inputs,
            spec.input_size,
            settings.width,
            settings.positions,
            settings.max_length,
            jnp.dtype(settings.dtype),
            self.patch,
            spec.rank,
            rngs=rngs,
        )
        super().__init__(
            settings,
            settings,
            rank=spec.rank,
            causal=spec.causal,
            strides=pools,
            rngs=rngs,
        )
        self.head = None if tied else Linear({"D": settings.width}, {"V": spec.outputs}, rngs=rngs)

    def __call__(self, batch: Batch, key: Key[Array, ""] | None = None) -> Float[Array, "B *P V"]:
        """Scores for whole sequences, at the labelled positions."""
        return self.score(self.vectors(batch, key))

    def vectors(self, batch: Batch, key: Key[Array, ""] | None = None) -> Float[Array, "B *P D"]:
        """What :meth:`score` makes into the scores of whole sequences."""
        axes = batch.inputs.shape[1 : 1 + self.rank]
        if any(length % self.patch for length in axes):
            raise ConfigError(
                f"model.patch={self.patch} does not divide the grid of {axes} positions"
            )
        self.check_length(math.prod(axes))
        mask = batch.mask
        if mask is not None and self.patch > 1:
            raise ConfigError(f"model.patch={self.patch} can't cut up padded inputs; set it to 1")
        x, mask = self.whole(self.embedding(batch.inputs), mask, key)
        if self.pooling is not None:
            x = pool(x, mask, self.pooling)
        elif batch.positions is not None:
            x = jnp.take_along_axis(x, batch.positions[:, :, None], axis=1)  # [B, P, D]
        return x

    def start(
        self,
        batch: Batch | int,
        room: int,
        lengths: Int[AnyArray, "B"] | None = None,
        key: Key[Array, ""] | None = None,
    ) -> State:
        """The state of the rows of a batch, or of so many, before their first position."""
        self.check_length(room)
        rows = batch if isinstance(batch, int) else batch.inputs.shape[0]
        ends = self.keeps_all or self.longest is not None
        return start_state(self, rows, room, ends, lengths, key)

    def extend(
        self,
        inputs: Int[AnyArray, "B L"] | Float[AnyArray, "B L features"],
        state: State,
        valid: Bool[AnyArray, "B L"] | None = None,
        key: Key[Array, ""] | None = None,
        scored: Int[AnyArray, "B P"] | None = None,
    ) -> tuple[Float[Array, "B P V"], State]:
        """Scores of a chunk that goes on from a state; see :func:`seqmodels.state.extend_state`."""
        embed = partial(self.embedding, inputs)
        return extend_state(self, state, inputs.shape[1], embed, self.score, valid, key, scored)

    @property
    def longest(self) -> int | None:
        """The longest sequence that it serves; None for any."""
        learned = self.embedding.max_length
        ends = [] if learned is None else [learned * self.patch**self.rank]
        spread = super().longest
        return min(ends if spread is None else [*ends, spread], default=None)

    @property
    def streams(self) -> bool:
        """Whether the scores of extend, chunk by chunk, are those of one call."""
        return self.has_state and self.pooling != "mean"

    @property
    def reading_stack(self) -> Stack:
        """The blocks that read the inputs: all of them."""
        return self

    def read_axes(self, batch: Batch) -> tuple[int, ...]:
        """How many positions those blocks have along each axis."""
        return tuple(n // self.patch for n in batch.inputs.shape[1 : 1 + self.rank])

    def score(self, x: Float[Array, "*B D"]) -> Float[Array, "*B V"]:
        """Scores of vectors, each by itself."""
        x = self.normalise(x)
        return self.embedding.scores(x, self.outputs) if self.head is None else self.head(x)

    def check_length(self, length: int) -> None:
        """Raises ConfigError where learned or spread positions end before a length."""
        self.embedding.check_length(length // self.patch**self.rank)
        self.check_spread(length // self.patch**self.rank)


class Model(NamedTuple):
    """A model as pure functions of plain dicts; all that training and experiments see."""

    init: Callable[[Key[Array, ""]], Params]
    """Key to float32 parameters."""
    apply: Callable[..., Float[Array, "B *P V"]]
    """(params, batch, key or None) to scores; dropout only with a key."""
    vectors: Callable[..., Float[Array, "B *P D"]]
    """The same to what ``score`` makes into these scores, which may be too many to have at once
    (:mod:`seqmodels.model_metrics`)."""
    score: Callable[..., Float[Array, "*B V"]]
    """(params, vectors) to scores, of each vector by itself."""
    cost: Callable[[Batch], Cost]
    """A batch, or the shapes of one, to the forward cost of a row (:mod:`seqmodels.model_cost`)."""
    start: Callable[..., State]
    """(params, batch or rows, room, lengths or None, key or None) to the state before the first
    position; of a model that writes, its inputs read. ``room`` is static, ``lengths`` [B] are how
    long the rows will be in all."""
    extend: Callable[..., tuple[Float[Array, "B P V"], State]]
    """(params, inputs, state, valid, key, scored) to the scores of a chunk at the positions
    ``scored`` [B, P], or at all, and the next state. Rows end in padding where ``valid`` [B, L]
    says so, and advance by what is valid."""
    parts: Callable[[Batch, Batch, Loss], list[Part]]
    """Whole sequences, a batch, and its loss to what each block has, costs and keeps
    (:func:`~seqmodels.model_parts.model_parts`); shapes of the batches are enough."""
    axes: Callable[[Batch], tuple[int, ...]]
    """Batch to how many positions the blocks that read it have along each axis."""
    parameters: dict[str, Any]
    """The tree of parameters, with what each says of itself
    (:class:`~seqmodels.parameters.About`)."""
    facts: "Facts"
    """What it is."""
    to_nnx: Callable[[Params], nnx.Module]
    """Parameters to the module that holds them."""


class Facts(NamedTuple):
    """What a model is; its depth and causality are those of the blocks that read the inputs.

    In a one-to-many task these are the decoder's.
    """

    causal: bool
    """Whether no output of theirs depends on a later position, on one axis."""
    streams: bool
    """Whether extend, chunk by chunk, gives apply's scores: at each position, or at the last."""
    writes: bool
    """Whether its outputs are a sequence of their own, written token by token."""
    longest: int | None
    """The longest sequence that it serves; None for any."""
    depth: int
    """How many blocks read."""
    width: int
    """The model width D."""
    widened: dict[str, int]
    """The kernels of short convolutions that see both sides, where they are one wider than they are
    set to, by the pattern's names."""


def build_model(config: Section, spec: TaskSpec, length: int = 1) -> Model:
    """Builds the model of a config's ``model`` section for a task.

    Nothing is allocated or compiled until ``init`` is called.

    Args:
      config: the section; its keys are those of :class:`SequenceSettings`, or, for tasks that
        write a sequence, of :class:`~seqmodels.encoder_decoder.EncoderDecoderSettings`.
      length: the longest sequence that it must serve.

    Raises:
      ConfigError: a key that nothing reads, or a value that can't be used.
    """
    writes = spec.shape in ("one-to-many", "sequence-to-sequence")
    kind, schema = SequenceModel, SequenceSettings
    if writes:
        kind, schema = EncoderDecoder, EncoderDecoderSettings
    settings = construct(schema, config, "model")

    def create(key: Key[Array, ""]) -> SequenceModel | EncoderDecoder:
        with under("model"):
            return kind(settings, spec=spec, rngs=nnx.Rngs(params=key))

    # Anything in the module but parameters would make this split raise.
    abstract = nnx.eval_shape(lambda: create(jax.random.key(0)))
    graph, _ = nnx.split(abstract, nnx.Param)
    abstract.check_length(length)

    def init(key: Key[Array, ""]) -> Params:
        return nnx.to_pure_dict(nnx.split(create(key), nnx.Param)[1])

    def of_parameters(method: str) -> Callable[..., Any]:
        def call(params: Params, *arguments: Any, **named: Any) -> Any:
            return getattr(nnx.merge(graph, params), method)(*arguments, **named)

        return call

    shapes = nnx.to_pure_dict(nnx.split(abstract, nnx.Param)[1])
    merge = partial(nnx.merge, graph)
    cost_of_row = cache(lambda row: model_cost(merge, shapes, row))
    parts = partial(model_parts, merge, shapes)

    def cost(batch: Batch) -> Cost:
        return cost_of_row(one_row(batch))

    reading = abstract.reading_stack
    facts = Facts(
        causal=reading.causal,
        streams=isinstance(abstract, SequenceModel) and abstract.streams,
        writes=writes,
        longest=abstract.longest,
        depth=len(reading.blocks),
        width=abstract.width,
        widened=reading.widened,
    )
    apply, vectors, score, start, extend = map(
        of_parameters, ("__call__", "vectors", "score", "start", "extend")
    )
    about = declared(abstract)
    axes = abstract.read_axes
    return Model(init, apply, vectors, score, cost, start, extend, parts, axes, about, facts, merge)


def count_parameters(model: Model) -> int:
    """The number of parameters, without allocating them."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))
