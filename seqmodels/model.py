"""The model around the mixers, and the pure functions that everything else sees."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import AnyArray, Array, Bool, Float, Int, Key, Params, State
from seqmodels.config import Section, construct, construct_kind
from seqmodels.errors import ConfigError, nearest, require
from seqmodels.layers import MLP, Embedding, Linear, MLPKind, Norm, NormKind, PositionKind, dropout
from seqmodels.mixers import MIXERS, Cost, Mixer
from seqmodels.tasks.base import Batch, TaskSpec


class Block(nnx.Module):
    """A mixer and an MLP, each with dropout, a residual connection and a norm.

    Pre-norm: ``x + f(norm(x))`` (Xiong et al. 2020). Post-norm: ``norm(x + f(x))``
    (Vaswani et al. 2017).
    """

    def __init__(
        self,
        mixer: Mixer,
        width: int,
        norm: NormKind,
        norm_position: Literal["pre", "post"],
        mlp: MLPKind,
        mlp_width: int,
        dropout_rate: float,
        *,
        rngs: nnx.Rngs,
    ):
        self.mixer = mixer
        self.mixer_norm = Norm(width, norm, rngs=rngs)
        self.mlp = MLP(width, mlp_width, mlp, rngs=rngs) if mlp != "none" else None
        self.mlp_norm = Norm(width, norm, rngs=rngs) if mlp != "none" else None
        self.norm_position = norm_position
        self.dropout_rate = dropout_rate

    def __call__(
        self,
        x: Float[Array, "B L D"],
        mask: Bool[AnyArray, "B L"] | None,
        key: Key[Array, ""] | None,
    ) -> Float[Array, "B L D"]:
        """Whole sequences; dropout only with a key."""
        mixer_key, *keys = jax.random.split(key, 3) if key is not None else (None,) * 3
        mix = lambda y: (self.mixer(y, mask, mixer_key), None)  # noqa: E731
        return self._residuals(x, mix, keys)[0]

    def extend(self, x: Float[Array, "B L D"], state: State) -> tuple[Float[Array, "B L D"], State]:
        """A chunk that continues from the mixer's state."""
        return self._residuals(x, lambda y: self.mixer.extend(y, state), [None, None])

    def _residuals(self, x, mix: Callable, keys: list) -> tuple[Float[Array, "B L D"], State]:
        state = None

        def add(x, norm, f, key):
            if self.norm_position == "pre":
                return x + dropout(f(norm(x)), self.dropout_rate, key)
            return norm(x + dropout(f(x), self.dropout_rate, key))

        def mixed(y):
            nonlocal state
            y, state = mix(y)
            return y

        x = add(x, self.mixer_norm, mixed, keys[0])
        if self.mlp is not None:
            x = add(x, self.mlp_norm, self.mlp, keys[1])
        return x, state


class SequenceModel(nnx.Module):
    """Embedding, ``depth`` blocks, norm and head.

    Its arguments are the keys of a config's ``model`` section.

    Args:
      width: the model width D.
      depth: the number of blocks.
      pattern: names of mixers, tiled over the depth: ("local", "local", "global").
      mixers: for each name in the pattern, ``{"kind": a key of MIXERS, **settings}``.
      norm: "layer" or "rms".
      norm_position: "pre" or "post".
      mlp: "gelu", "gated" or "none".
      mlp_expansion: the MLP's width as a multiple of D; None without an MLP.
      dropout: the share of features dropped after each mixer and MLP, in training.
      positions: what is added to the embeddings: "none", "learned" or "sinusoidal".
      max_length: the longest sequence that learned positions serve; None otherwise.
      pooling: how many-to-one tasks summarise a sequence, by the "mean" of all
        positions or by the "last"; None for many-to-many.
      dtype: the dtype of computation; parameters are always float32.
      spec: what the task needs of a model.
      rngs: the source of the initial weights.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        pattern: tuple[str, ...],
        mixers: Section,
        norm: NormKind = "layer",
        norm_position: Literal["pre", "post"] = "pre",
        mlp: MLPKind = "none",
        mlp_expansion: float | None = None,
        dropout: float = 0.0,
        positions: PositionKind = "none",
        max_length: int | None = None,
        pooling: Literal["mean", "last"] | None = None,
        dtype: Literal["float32", "bfloat16"] = "float32",
        *,
        spec: TaskSpec,
        rngs: nnx.Rngs,
    ):
        require(width >= 1, f"width={width} is below 1")
        require(depth >= 1, f"depth={depth} is below 1")
        require(0 <= dropout < 1, f"dropout={dropout} is not at least 0 and below 1")
        require(len(pattern) > 0, "pattern=() names no mixer")
        for name in pattern:
            known = nearest(name, mixers)
            require(name in mixers, f"pattern={pattern!r}: no mixer {name!r} in mixers; {known}")
        for name in mixers:
            require(
                name in pattern[:depth],
                f"mixers.{name} is never read: pattern={pattern!r} does not reach it in {depth} "
                "blocks",
            )
        has_mlp, has_learned, pools = mlp != "none", positions == "learned", "one" in spec.shape
        _require_with(mlp_expansion, has_mlp, "mlp_expansion", f"mlp={mlp!r}")
        _require_with(max_length, has_learned, "max_length", f"positions={positions!r}")
        _require_with(pooling, pools, "pooling", f"a {spec.shape} task")
        require(max_length is None or max_length >= 1, f"max_length={max_length} is below 1")
        mlp_width = round(width * mlp_expansion) if mlp_expansion is not None else 0
        require(
            not has_mlp or mlp_width >= 1, f"mlp_expansion={mlp_expansion} leaves the MLP no width"
        )
        require(
            positions != "sinusoidal" or width % 2 == 0,
            f"width={width} is odd; positions='sinusoidal' needs pairs of features",
        )
        self.width = width
        self.max_length = max_length
        self.pooling = pooling
        self.outputs = spec.outputs
        self.embedding = Embedding(
            spec.inputs, spec.input_size, width, positions, max_length, jnp.dtype(dtype), rngs=rngs
        )
        blocks = []
        settings: Any = mixers
        for index in range(depth):
            name = pattern[index % len(pattern)]
            path = f"model.mixers.{name}"
            mixer = construct_kind(MIXERS, settings[name], path, width=width, rngs=rngs)
            if spec.causal and not mixer.causal:
                raise ConfigError(
                    f"{path}.causal=False: the task's outputs may depend on earlier inputs alone; "
                    "set it to True"
                )
            blocks.append(
                Block(mixer, width, norm, norm_position, mlp, mlp_width, dropout, rngs=rngs)
            )
        self.blocks = nnx.List(blocks)
        self.norm = Norm(width, norm, rngs=rngs) if norm_position == "pre" else None
        self.head = Linear(width, spec.outputs, rngs=rngs)

    def __call__(self, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, "B *P V"]:
        """Scores for whole sequences, at the labelled positions."""
        self.check_length(batch.inputs.shape[1])
        positions = jnp.broadcast_to(
            jnp.arange(batch.inputs.shape[1])[None], batch.inputs.shape[:2]
        )
        x = self.embedding(batch.inputs, positions)
        keys = jax.random.split(key, len(self.blocks)) if key is not None else None
        for index, block in enumerate(self.blocks):
            x = block(x, batch.mask, keys[index] if keys is not None else None)
        if self.pooling is not None:
            x = _pool(x, batch.mask, self.pooling)
        elif batch.positions is not None:
            x = jnp.take_along_axis(x, batch.positions[:, :, None], axis=1)  # [B, P, D]
        return self._score(x)

    def initial_state(self, batch_size: int, max_length: int) -> State:
        """The state of every mixer, and how many positions each row has seen."""
        self.check_length(max_length)
        blocks = [block.mixer.initial_state(batch_size, max_length) for block in self.blocks]
        return {"length": jnp.zeros((batch_size,), jnp.int32), "blocks": blocks}

    def extend(
        self, inputs: Int[AnyArray, "B L"] | Float[AnyArray, "B L features"], state: State
    ) -> tuple[Float[Array, "B L V"], State]:
        """Scores at each position of a chunk that continues from a state."""
        before: dict[str, Any] = state
        positions = before["length"][:, None] + jnp.arange(inputs.shape[1])[None]
        x = self.embedding(inputs, positions)
        states = []
        for block, block_state in zip(self.blocks, before["blocks"], strict=True):
            x, block_state = block.extend(x, block_state)
            states.append(block_state)
        length = before["length"] + inputs.shape[1]
        return self._score(x), {"length": length, "blocks": states}

    def cost(self, length: int) -> Cost:
        """The forward cost of one sequence, scored at every position or once."""
        scored = 1 if self.pooling is not None else length
        total = Cost(scored * 2 * self.width * self.outputs, 0, 1)
        for block in self.blocks:
            total += block.mixer.cost(length)
            if block.mlp is not None:
                linears = (block.mlp.inputs, block.mlp.outputs)
                products = sum(
                    linear.weights.shape[0] * linear.weights.shape[1] for linear in linears
                )
                total += Cost(length * 2 * products, 0, 1)
        return total

    def _score(self, x: Float[Array, "*B D"]) -> Float[Array, "*B V"]:
        return self.head(self.norm(x) if self.norm is not None else x)

    def check_length(self, length: int) -> None:
        """Raises ConfigError where learned positions end before a length."""
        if self.max_length is not None and length > self.max_length:
            raise ConfigError(
                f"model.max_length={self.max_length} is below the length {length} that is asked "
                "for; learned positions end there"
            )


def _require_with(value: Any, wanted: bool, name: str, owner: str) -> None:
    """Refuses a setting that is missing where it is needed, or that nothing would read."""
    require(wanted or value is None, f"{name}={value!r} is never read with {owner}; leave it None")
    require(not wanted or value is not None, f"{name}=None; {owner} needs it")


def _pool(
    x: Float[Array, "B L D"], mask: Bool[AnyArray, "B L"] | None, pooling: str
) -> Float[Array, "B D"]:
    """The mean over real positions, or the last of them."""
    if mask is None:
        return jnp.mean(x, axis=1) if pooling == "mean" else x[:, -1]
    if pooling == "mean":
        real = mask[:, :, None].astype(x.dtype)
        return jnp.sum(x * real, axis=1) / jnp.maximum(jnp.sum(real, axis=1), 1)
    last = x.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1)
    return jnp.take_along_axis(x, last[:, None, None], axis=1)[:, 0]


class Model(NamedTuple):
    """A model as pure functions of plain dicts; all that training and experiments see."""

    init: Callable[[Key[Array, ""]], Params]
    """Key to float32 parameters."""
    apply: Callable[..., Float[Array, "B *P V"]]
    """(params, batch, key or None) to scores; dropout only with a key."""
    initial_state: Callable[[int, int], State]
    """(batch size, max length) to the state before the first position."""
    extend: Callable[..., tuple[Float[Array, "B L V"], State]]
    """(params, inputs, state) to the scores at each position and the next state."""
    cost: Callable[[int], Cost]
    """Length to the forward cost of one sequence."""
    causal: bool
    """Whether every mixer is causal, and so extend is possible."""


def build_model(config: Section, spec: TaskSpec, length: int = 1) -> Model:
    """Builds the model of a config's ``model`` section for a task.

    Nothing is allocated or compiled until ``init`` is called.

    Args:
      config: the section; its keys are the arguments of :class:`SequenceModel`.
      spec: what the task needs of a model.
      length: the longest sequence that it must serve.

    Raises:
      ConfigError: a key that nothing reads, or a value that can't be used.
    """

    def create(key: Key[Array, ""]) -> SequenceModel:
        return construct(SequenceModel, config, "model", spec=spec, rngs=nnx.Rngs(params=key))

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

    def extend(params: Params, inputs: Array, state: State) -> tuple[Float[Array, "B L V"], State]:
        return nnx.merge(graph, params).extend(inputs, state)

    causal = all(block.mixer.causal for block in abstract.blocks)
    return Model(init, apply, abstract.initial_state, extend, abstract.cost, causal)


def count_parameters(model: Model) -> int:
    """The number of parameters, without allocating them."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))
