"""Stacks of blocks: what every model is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import AnyArray, Array, Bool, Float, Key, State
from seqmodels.block import Block, BlockSettings, Mask
from seqmodels.config import Section, construct_kind
from seqmodels.errors import ConfigError, nearest, require, require_with, under
from seqmodels.layers import Norm, PositionKind
from seqmodels.mixers import MIXERS, Cost, CrossAttention, Mixer
from seqmodels.ops.grids import ScanOrder

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


class Stack(nnx.Module):
    """The blocks and, where the norm comes before, a last norm.

    Args:
      settings: which blocks.
      shared: what stands around their mixers, but for what ``settings.blocks`` changes.
      width: the model width D.
      rank: how many axes the positions have.
      causal: whether outputs may depend on earlier positions alone.
      strides: whether mixers may shorten the sequence.
      cross: makes the cross-attention of a block, for a decoder.
      prefix: the config path of ``settings``, for messages.
      rngs: the source of the initial weights.
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
        prefix: str = "model",
        rngs: nnx.Rngs,
    ):
        self.rank = rank
        by_name = settings.by_name(shared, width, prefix)
        blocks, scanned = [], False
        mixers: Any = settings.mixers
        for index in range(settings.depth):
            name = settings.pattern[index % len(settings.pattern)]
            where = f"{prefix}.mixers.{name}"
            mixer = construct_kind(MIXERS, mixers[name], where, width=width, rngs=rngs)
            scans = mixer.rank == 1 and rank > 1 and settings.scan is not None
            scanned |= scans
            _require_rank(mixer, rank, scans, where)
            if causal and not mixer.causal:
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
                    by_name[name],
                    cross=cross() if cross is not None else None,
                    scan=settings.scan if scans else None,
                    rngs=rngs,
                )
            )
        require_with(
            settings.scan,
            scanned,
            "scan",
            "mixers that work on the task's axes",
            wanted_if_missing=False,
        )
        self.blocks = nnx.List(blocks)
        self.norm = Norm(width, shared.norm, rngs=rngs) if shared.norm_position == "pre" else None

    @property
    def causal(self) -> bool:
        """Whether every mixer is causal, and so extend is possible."""
        return all(block.mixer.causal for block in self.blocks)

    def run(
        self,
        x: Float[Array, "B *L D"],
        mask: Mask,
        key: Key[Array, ""] | None,
        source: Float[Array, "B S D"] | None = None,
        source_mask: Bool[AnyArray, "B S"] | None = None,
        depth: int | None = None,
    ) -> tuple[Float[Array, "B *M D"], Bool[AnyArray, "B *M"] | None]:
        """The first ``depth`` blocks, or all, over whole sequences or grids, and the mask then."""
        keys = jax.random.split(key, len(self.blocks)) if key is not None else None
        mask = None if mask is None else jnp.asarray(mask)
        for index, block in enumerate(self.blocks[:depth]):
            seen = None
            if block.cross is not None:
                assert source is not None
                seen = block.cross.project(source, source_mask)
            x, mask = block(x, mask, keys[index] if keys is not None else None, seen)
        return x, mask

    def mixer_states(self, batch_size: int, max_length: int) -> list[State]:
        """Every mixer's state before the first position."""
        return [block.mixer.initial_state(batch_size, max_length) for block in self.blocks]

    def run_from(
        self,
        x: Float[Array, "B L D"],
        states: Any,
        key: Key[Array, ""] | None = None,
        sources: Any = None,
    ) -> tuple[Float[Array, "B L D"], list[State]]:
        """All blocks over a chunk that continues from the mixers' states."""
        keys = jax.random.split(key, len(self.blocks)) if key is not None else None
        after = []
        for index, block in enumerate(self.blocks):
            x, state = block.extend(
                x,
                states[index],
                keys[index] if keys is not None else None,
                sources[index] if sources is not None else None,
            )
            after.append(state)
        return x, after

    def stack_cost(self, length: int, source_length: int = 0) -> Cost:
        """The forward cost of all blocks for one sequence, or a grid of so many positions."""
        total = Cost(0, 0, 0)
        for block in self.blocks:
            total += block.cost(length, source_length)
            length = -(-length // block.mixer.stride**self.rank)
        return total

    def normalise(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        """The last norm, of pre-norm models."""
        return self.norm(x) if self.norm is not None else x


def _require_rank(mixer: Mixer, rank: int, scans: bool, path: str) -> None:
    """Refuses a mixer that can't work on the axes that the task's positions have."""
    if mixer.rank in (None, rank) or scans:
        return
    axes = {1: "sequences (1 axis)", 2: "2-D grids", 3: "3-D grids"}
    here = axes.get(rank, f"grids of {rank} axes")
    if mixer.rank == 1:
        advice = (
            "set model.scan to 'rows' to read the grid as a sequence, or take a mixer on grids: "
            f"convolution or local_attention with {rank} numbers in kernel, or attention "
            "with positions='none'"
        )
    else:
        advice = f"give it {rank} number{'s' if rank > 1 else ''} in kernel"
    raise ConfigError(
        f"{path}: this mixer works on {axes.get(mixer.rank or 0, mixer.rank)}, and the task's "
        f"inputs are {here}; {advice}"
    )


def _not_causal(settings: Any, path: str) -> str:
    """What to say of a mixer that sees later positions where outputs may not."""
    why = "the task's outputs may depend on earlier inputs alone"
    if "causal" in settings:
        return f"{path}.causal=False: {why}; set it to True"
    return f"{path}.kind={settings['kind']!r} sees later inputs; {why}: take a causal mixer"


def pool(x: Float[Array, "B *L D"], mask: Mask, pooling: str) -> Float[Array, "B D"]:
    """The mean over real positions, or the last of them (in the order of rows)."""
    x = x.reshape(x.shape[0], -1, x.shape[-1])
    if mask is None:
        return jnp.mean(x, axis=1) if pooling == "mean" else x[:, -1]
    mask = mask.reshape(mask.shape[0], -1)
    if pooling == "mean":
        real = mask[:, :, None].astype(x.dtype)
        return jnp.sum(x * real, axis=1) / jnp.maximum(jnp.sum(real, axis=1), 1)
    last = x.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1)
    return jnp.take_along_axis(x, last[:, None, None], axis=1)[:, 0]
