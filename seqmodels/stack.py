"""Stacks of blocks: what every model is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import AnyArray, Array, Bool, Float, Int, Key
from seqmodels.block import Block, BlockSettings, BlockState
from seqmodels.config import Section
from seqmodels.errors import ConfigError, nearest, require, require_with, under
from seqmodels.layers import Norm, PositionKind
from seqmodels.mixers import Context, CrossAttention, Mixer, ShortConvolution, construct_mixer
from seqmodels.observing import is_observed, observe, within
from seqmodels.ops.grids import ScanOrder

Remat = Literal["none", "block"]
DEEPEST = 256
"""Blocks of a stack at most: building them takes time for each, and compiling them far more."""


@dataclass(frozen=True, kw_only=True)
class StackSettings:
    """Which blocks: keys of a config's ``model``, or of its ``encoder`` and ``decoder``."""

    depth: int
    """How many."""
    pattern: tuple[str, ...]
    """Names of mixers, tiled over the depth: ("local", "local", "global")."""
    mixers: Section
    """For each name in the pattern, ``{"kind": a key of MIXERS, **settings}``."""
    blocks: Section | None = None
    """For names in the pattern, what their blocks have otherwise than the model
    (:class:`~seqmodels.block.BlockSettings`); None for no differences."""
    scan: ScanOrder | None = None
    """The order, "rows" or "columns", in which mixers on one axis read a grid; None where all
    mixers work on the task's axes."""

    def __post_init__(self):
        depth, pattern = self.depth, self.pattern
        require(depth >= 1, f"depth={depth} is below 1")
        require(
            depth <= DEEPEST,
            f"depth={depth} is above {DEEPEST}: each block is compiled by itself, which takes "
            "minutes for hundreds; lower it",
        )
        require(len(pattern) > 0, "pattern=() names no mixer")
        for name in pattern:
            known = nearest(name, self.mixers)
            require(
                name in self.mixers, f"pattern={pattern!r}: no mixer {name!r} in mixers; {known}"
            )
        for section, named in (("mixers", self.mixers), ("blocks", self.blocks or {})):
            for name in named:
                require(
                    name in pattern[:depth],
                    f"{section}.{name} is never read: pattern={pattern!r} does not reach it in "
                    f"{depth} blocks",
                )

    def by_name(self, shared: BlockSettings, width: int, path: str) -> dict[str, BlockSettings]:
        """Those of the blocks of each name, of width D; ``path`` is this section's, for messages.

        Raises:
          ConfigError: of those that the model shares or that a name changes, what can't be used.
        """
        changes: Any = self.blocks or {}
        made = {}
        for name in self.pattern:
            changed = name in changes
            where = f"{path}.blocks.{name}" if changed else "model"
            made[name] = shared.changed(changes[name] if changed else {}, where)
            with under(where):
                made[name].mlp_width(width)
        return made


@dataclass(frozen=True, kw_only=True)
class ModelSettings(BlockSettings):
    """What every config's ``model`` section has beside the settings of its blocks."""

    width: int
    """The model width D."""
    positions: PositionKind = "none"
    """What is added to the embeddings."""
    max_length: int | None = None
    """The longest sequence, read or written, that learned positions serve; None otherwise."""
    pooling: Literal["mean", "last"] | None = None
    """How a sequence is summarised, by the mean of all positions or by the last; None for no
    summary."""
    tied_embeddings: bool = False
    """Whether the table of the tokens that are read is also that of the scores
    (:meth:`~seqmodels.layers.Embedding.scores`)."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """That of computation; parameters are always float32."""
    remat: Remat = "none"
    """"block" keeps each block's inputs alone for the backward pass, which computes the block
    again: less memory, a third more time; "none" keeps what is needed."""


class Stack(nnx.Module):
    """The blocks and, where the norm comes before, a last norm.

    Args:
      settings: which blocks.
      shared: what stands around their mixers, but for what ``settings.blocks`` changes.
      rank: how many axes the positions have.
      causal: whether outputs may depend on earlier positions alone.
      strides: whether mixers may shorten the sequence.
      cross: makes the cross-attention of a block, for a decoder.
      prefix: the config path of ``settings``, for messages.
    """

    def __init__(
        self,
        settings: StackSettings,
        shared: BlockSettings,
        width: int,
        *,
        rank: int = 1,
        causal: bool = False,
        strides: bool = False,
        cross: Callable[[], CrossAttention] | None = None,
        remat: Remat = "none",
        prefix: str = "model",
        rngs: nnx.Rngs,
    ):
        self.rank = rank
        self.prefix = prefix
        self.names = tuple(islice(cycle(settings.pattern), settings.depth))
        by_name = settings.by_name(shared, width, prefix)
        blocks, scanned = [], False
        mixers: Any = settings.mixers
        for name in self.names:
            where = f"{prefix}.mixers.{name}"
            own = by_name[name]
            mixer, short = construct_mixer(
                mixers[name], where, width=width, short=own.short, rngs=rngs
            )
            scans = mixer.rank == 1 and rank > 1 and settings.scan is not None
            scanned |= scans
            _require_rank(mixer, rank, scans, where)
            if own.short is not None and rank > 1 and not scans:
                raise ConfigError(
                    f"{prefix}.blocks.{name}.short_convolution={own.short.kernel} goes along a "
                    f"sequence, and the task's inputs are {_on_axes(rank)}; set it to None there"
                )
            if causal and (not mixer.causal or mixer.rank not in (None, 1)):
                raise ConfigError(_not_causal(mixers[name], where))
            if mixer.stride > 1 and not strides:
                raise ConfigError(
                    f"{where}.stride={mixer.stride} leaves fewer outputs than positions; only "
                    "many-to-one tasks and encoders can do with them: set it to 1"
                )
            blocks.append(
                Block(
                    mixer,
                    width,
                    own,
                    short=short,
                    cross=cross() if cross is not None else None,
                    scan=settings.scan if scans else None,
                    rngs=rngs,
                )
            )
        spread = {block.mixer.position_range for block in blocks} - {None}
        require(
            len(spread) <= 1,
            f"position_range={sorted(spread)}: all mixers of a model spread positions over one "
            "range; set it to one value",
        )
        self.position_range: int | None = next(iter(spread), None)
        owner = "mixers that work on the task's axes"
        require_with(settings.scan, scanned, "scan", owner, wanted_if_missing=False)
        self.remat: Remat = remat
        self.blocks = nnx.List(blocks)
        self.norm = Norm(width, shared.norm, rngs=rngs) if shared.norm_position == "pre" else None

    @property
    def has_state(self) -> bool:
        """Whether it can go on from a state."""
        return self.rank == 1 and all(block.mixer.has_state for block in self.blocks)

    @property
    def causal(self) -> bool:
        """Whether no output sees what comes later, on one axis."""
        return self.rank == 1 and all(block.mixer.causal for block in self.blocks)

    @property
    def longest(self) -> int | None:
        """The longest sequence that every mixer serves; None for any."""
        served = (block.mixer.longest for block in self.blocks)
        return min((length for length in served if length is not None), default=None)

    @property
    def keeps_all(self) -> bool:
        """Whether a mixer's state holds all that was read, so that it ends at its room."""
        letters = [block.mixer.state_letters for block in self.blocks]
        return any("L" in leaf.split() for leaf in jax.tree.leaves(letters))

    @property
    def widened(self) -> dict[str, int]:
        """The kernels of short convolutions that are one wider than set, by the pattern's names."""
        taken = {}
        for name, block in zip(self.names, self.blocks, strict=True):
            set_to = block.settings.short_convolution
            for _, part in nnx.iter_modules(block):
                if isinstance(part, ShortConvolution) and part.kernel != set_to:
                    taken[name] = part.kernel
        return taken

    def whole(
        self,
        x: Float[Array, "B *L D"],
        valid: Bool[AnyArray, "B *L"] | None,
        key: Key[Array, ""] | None,
        *,
        lengths: Int[Array, "B"] | None = None,
        source: Float[Array, "B S D"] | None = None,
        source_valid: Bool[AnyArray, "B S"] | None = None,
    ) -> tuple[Float[Array, "B *M D"], Bool[AnyArray, "B *M"] | None]:
        """All blocks over whole sequences or grids; and what is valid then."""
        valid = None if valid is None else jnp.asarray(valid)
        if self.rank > 1:
            context = Context(valid, None, None, None, key)
        else:
            context = Context.of(
                x.shape[0],
                x.shape[1],
                valid,
                lengths=lengths,
                position_range=self.position_range,
                draw=None if key is None else draw_key(key),
                key=key,
            )
        states = [block.start(None, source, source_valid) for block in self.blocks]
        x, _, context = self.run(x, states, context)
        return x, context.valid

    def run(
        self, x: Float[Array, "B *L D"], states: list[BlockState], context: Context
    ) -> tuple[Float[Array, "B *M D"], list[BlockState], Context]:
        """The blocks one after the other over a chunk that comes after their states."""
        x, count = observe("inputs", x), len(self.blocks)
        keys = [None] * count if context.key is None else jax.random.split(context.key, count)
        after = []
        for index, (block, state, key) in enumerate(zip(self.blocks, states, keys, strict=True)):
            run = block
            if self.remat == "block" and not is_observed():
                run = jax.checkpoint(lambda *given, block=block: block(*given))
            where = f"{self.prefix}.mixers.{self.names[index]}"  # of a form that can't serve
            with under(where), within(f"blocks.{index}"):
                x, state, context = run(x, state, context._replace(key=key))
                x = observe("outputs", x)
            after.append(state)
        return x, after, context

    def check_spread(self, length: int) -> None:
        """Raises ConfigError where spread positions or a mixer's filters end before a length."""
        if self.position_range is not None and length > self.position_range:
            raise ConfigError(
                f"position_range={self.position_range} has fewer positions than the length "
                f"{length} that is asked for; raise it, or take shorter sequences"
            )
        for name, block in zip(self.names, self.blocks, strict=True):
            longest = block.mixer.longest
            if longest is not None and length > longest:
                raise ConfigError(
                    f"{self.prefix}.mixers.{name}: max_length={longest} is below the length "
                    f"{length} that is asked for; raise it"
                )

    def normalise(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        """The last norm, of pre-norm models."""
        return self.norm(x) if self.norm is not None else x


def _require_rank(mixer: Mixer, rank: int, scans: bool, path: str) -> None:
    """Refuses a mixer that can't work on the axes that the task's positions have."""
    if mixer.rank in (None, rank) or scans:
        return
    if mixer.rank == 1:
        advice = (
            "set model.scan to 'rows' to read the grid as a sequence, or take a mixer on grids: "
            f"convolution or neighbourhood_attention with {rank} numbers in kernel, or attention "
            "with positions='none'"
        )
    else:
        advice = f"give it {rank} number{'s' if rank > 1 else ''} in kernel"
    raise ConfigError(
        f"{path}: this mixer works on {_on_axes(mixer.rank or 0)}, and the task's inputs are "
        f"{_on_axes(rank)}; {advice}"
    )


def _on_axes(rank: int) -> str:
    return "sequences (1 axis)" if rank == 1 else f"{rank}-D grids"


def _not_causal(settings: Any, path: str) -> str:
    """What to say of a mixer that sees later positions where outputs may not."""
    why = "the task's outputs may depend on earlier inputs alone"
    if "causal" in settings:
        return f"{path}.causal=False: {why}; set it to True"
    return f"{path}.kind={settings['kind']!r} sees later inputs; {why}: take a causal mixer"


def draw_key(key: Key[Array, ""]) -> Key[Array, ""]:
    """What draws positions, from the key that is split among the blocks."""
    return jax.random.fold_in(key, DEEPEST)


def pool(
    x: Float[Array, "B *L D"], mask: Bool[AnyArray, "B *L"] | None, pooling: str
) -> Float[Array, "B D"]:
    """The mean over real positions, or the last of them (in the order of rows)."""
    x = x.reshape(x.shape[0], -1, x.shape[-1])
    if mask is None:
        return jnp.mean(x, axis=1) if pooling == "mean" else x[:, -1]
    mask = mask.reshape(mask.shape[0], -1)
    if pooling == "mean":
        # In float32: bfloat16 counts no further than 256.
        total = jnp.sum(x, axis=1, dtype=jnp.float32, where=mask[:, :, None])
        count = jnp.sum(mask, axis=1, dtype=jnp.float32)[:, None]
        return (total / jnp.maximum(count, 1)).astype(x.dtype)
    last = x.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1)
    return jnp.take_along_axis(x, last[:, None, None], axis=1)[:, 0]
