"""The model around the mixers, and the pure functions that everything else sees."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import AnyArray, Array, Float, Int, Key, Params, State
from seqmodels.config import Section, construct
from seqmodels.encoder_decoder import EncoderDecoder, EncoderDecoderSettings
from seqmodels.errors import ConfigError, require, require_with, under
from seqmodels.layers import Embedding, Linear
from seqmodels.mixers import Cost
from seqmodels.parameters import declared
from seqmodels.stack import ModelSettings, Stack, StackSettings, pool
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
    """Embedding, blocks, norm and head: for many-to-one and many-to-many tasks.

    Args:
      settings: the config's section.
      spec: what the task needs of a model.
      rngs: the source of the initial weights.
    """

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
            settings.width,
            rank=spec.rank,
            causal=spec.causal,
            strides=pools,
            rngs=rngs,
        )
        self.head = None if tied else Linear({"D": settings.width}, {"V": spec.outputs}, rngs=rngs)

    def __call__(self, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, "B *P V"]:
        """Scores for whole sequences, at the labelled positions."""
        axes = batch.inputs.shape[1 : 1 + self.rank]
        if any(length % self.patch for length in axes):
            raise ConfigError(
                f"model.patch={self.patch} does not divide the grid of {axes} positions"
            )
        self.check_length(math.prod(axes))
        mask = batch.mask
        if mask is not None and self.patch > 1:
            raise ConfigError(f"model.patch={self.patch} can't cut up padded inputs; set it to 1")
        x, mask = self.run(self.embedding(batch.inputs), mask, key)
        if self.pooling is not None:
            x = pool(x, mask, self.pooling)
        elif batch.positions is not None:
            x = jnp.take_along_axis(x, batch.positions[:, :, None], axis=1)  # [B, P, D]
        return self._score(x)

    def initial_state(self, batch_size: int, max_length: int) -> State:
        """The state of every mixer, and how many positions each row has seen."""
        self.check_length(max_length)
        blocks = self.mixer_states(batch_size, max_length)
        return {"length": jnp.zeros((batch_size,), jnp.int32), "blocks": blocks}

    def start(self, batch: Batch, max_length: int) -> State:
        """:meth:`initial_state` for the rows of a batch: no input has been read."""
        return self.initial_state(batch.inputs.shape[0], max_length)

    def extend(
        self,
        inputs: Int[AnyArray, "B L"] | Float[AnyArray, "B L features"],
        state: State,
        key: Key[Array, ""] | None = None,
    ) -> tuple[Float[Array, "B L V"], State]:
        """Scores at each position of a chunk that continues from a state."""
        before: dict[str, Any] = state
        positions = before["length"][:, None] + jnp.arange(inputs.shape[1])[None]
        x, states = self.run_from(self.embedding(inputs, positions), before["blocks"], key)
        length = before["length"] + inputs.shape[1]
        return self._score(x), {"length": length, "blocks": states}

    @property
    def streams(self) -> bool:
        """Whether the scores of extend, chunk by chunk, are those of one call."""
        return self.causal and self.rank == 1 and self.pooling != "mean"

    @property
    def reading_stack(self) -> Stack:
        """The blocks that read the inputs: all of them."""
        return self

    def read_axes(self, batch: Batch) -> tuple[int, ...]:
        """How many positions those blocks have along each axis."""
        return tuple(n // self.patch for n in batch.inputs.shape[1 : 1 + self.rank])

    def cost(self, length: int) -> Cost:
        """The forward cost of one sequence, scored at every position or once."""
        scored = 1 if self.pooling is not None else length
        head = Cost(scored * 2 * self.width * self.outputs, 0, 1)
        return head + self.stack_cost(length // self.patch**self.rank)

    def _score(self, x: Float[Array, "*B D"]) -> Float[Array, "*B V"]:
        x = self.normalise(x)
        return self.embedding.scores(x, self.outputs) if self.head is None else self.head(x)

    def check_length(self, length: int) -> None:
        """Raises ConfigError where learned positions end before a length."""
        self.embedding.check_length(length // self.patch**self.rank)


class Model(NamedTuple):
    """A model as pure functions of plain dicts; all that training and experiments see."""

    init: Callable[[Key[Array, ""]], Params]
    """Key to float32 parameters."""
    apply: Callable[..., Float[Array, "B *P V"]]
    """(params, batch, key or None) to scores; dropout only with a key."""
    initial_state: Callable[[int, int], State]
    """(batch size, max length) to the state before the first position."""
    extend: Callable[..., tuple[Float[Array, "B L V"], State]]
    """(params, inputs, state, key or None) to the scores at each position and the next state."""
    cost: Callable[[int], Cost]
    """Length to the forward cost of one sequence."""
    causal: bool
    """Whether every mixer that extend runs is causal, and so extend is possible."""
    start: Callable[..., State]
    """(params, batch, max length) to the state before the first output, its inputs read."""
    reading: "Reading"
    """The blocks that read the inputs, by themselves."""
    writes: bool
    """Whether its outputs are a sequence of their own, written token by token."""
    streams: bool
    """Whether extend, chunk by chunk, gives apply's scores: at each position, or at the last."""
    parameters: dict[str, Any]
    """The tree of parameters, with what each says of itself
    (:class:`~seqmodels.parameters.About`)."""


class Reading(NamedTuple):
    """The blocks that read the inputs, as pure functions; the decoder's in a one-to-many task."""

    apply: Callable[..., Float[Array, "B *M D"]]
    """(params, vectors [B, *L, D], depth) to what the first ``depth`` blocks make of them."""
    depth: int
    """How many they are."""
    width: int
    """The model width D."""
    axes: Callable[[Batch], tuple[int, ...]]
    """Batch to how many positions they have along each axis."""
    causal: bool
    """Whether they see no later positions, on one axis."""


def build_model(config: Section, spec: TaskSpec, length: int = 1) -> Model:
    """Builds the model of a config's ``model`` section for a task.

    Nothing is allocated or compiled until ``init`` is called.

    Args:
      config: the section; its keys are those of :class:`SequenceSettings`, or, for tasks that
        write a sequence, of :class:`~seqmodels.encoder_decoder.EncoderDecoderSettings`.
      spec: what the task needs of a model.
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

    def apply(
        params: Params, batch: Batch, key: Key[Array, ""] | None = None
    ) -> Float[Array, "B *P V"]:
        return nnx.merge(graph, params)(batch, key)

    def extend(
        params: Params, inputs: AnyArray, state: State, key: Key[Array, ""] | None = None
    ) -> tuple[Float[Array, "B L V"], State]:
        return nnx.merge(graph, params).extend(inputs, state, key)

    def start(params: Params, batch: Batch, max_length: int) -> State:
        return nnx.merge(graph, params).start(batch, max_length)

    def read(params: Params, x: Array, depth: int) -> Float[Array, "B *M D"]:
        return nnx.merge(graph, params).reading_stack.run(x, None, None, depth=depth)[0]

    depth = len(abstract.reading_stack.blocks)
    return Model(
        init,
        apply,
        abstract.initial_state,
        extend,
        abstract.cost,
        abstract.causal,
        start,
        Reading(read, depth, abstract.width, abstract.read_axes, abstract.reading_stack.causal),
        writes,
        isinstance(abstract, SequenceModel) and abstract.streams,
        declared(abstract),
    )


def count_parameters(model: Model) -> int:
    """The number of parameters, without allocating them."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))
