"""Stacks of blocks: what every model is made of."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import AnyArray, Array, Bool, Float, Key, State
from seqmodels.block import Block, Mask, NormPosition
from seqmodels.config import Section, construct_kind
from seqmodels.errors import ConfigError, nearest, require, require_with
from seqmodels.layers import MLPKind, Norm, NormKind
from seqmodels.mixers import MIXERS, CrossAttention, Mixer
from seqmodels.ops.grids import ScanOrder

DEEPEST = 256
"""Blocks of a stack at most: building them takes time for each, and compiling them far more."""
WIDEST_MLP = 2**24
"""Features of an MLP at most."""


class Stack(nnx.Module):
    """``depth`` blocks and, with pre-norm, a last norm.

    Args:
      width: the model width D.
      depth: the number of blocks.
      pattern: names of mixers, tiled over the depth.
      mixers: for each name in the pattern, ``{"kind": a key of MIXERS, **settings}``.
      norm: "layer" or "rms".
      norm_position: "pre" or "post".
      mlp: "gelu", "gated" or "none".
      mlp_expansion: the MLP's width as a multiple of D; None without an MLP.
      dropout: the share of features dropped after each mixer and MLP, in training.
      scan: the order in which mixers on one axis read a grid; None refuses them there.
      rank: how many axes the positions have.
      causal: whether outputs may depend on earlier positions alone.
      strides: whether mixers may shorten the sequence.
      cross: makes the cross-attention of a block, for a decoder.
      prefix: the config path of what holds ``mixers``, for messages.
      rngs: the source of the initial weights.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        pattern: tuple[str, ...],
        mixers: Section,
        norm: NormKind,
        norm_position: NormPosition,
        mlp: MLPKind,
        mlp_expansion: float | None,
        dropout: float,
        scan: ScanOrder | None = None,
        *,
        rank: int = 1,
        causal: bool = False,
        strides: bool = False,
        cross: Callable[[], CrossAttention] | None = None,
        prefix: str = "model",
        rngs: nnx.Rngs,
    ):
        require(depth >= 1, f"depth={depth} is below 1")
        require(
            depth <= DEEPEST,
            f"depth={depth} is above {DEEPEST}: each block is compiled by itself, which takes "
            "minutes for hundreds; lower it",
        )
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
        has_mlp = mlp != "none"
        require_with(mlp_expansion, has_mlp, "mlp_expansion", f"mlp={mlp!r}")
        mlp_width = round(width * mlp_expansion) if mlp_expansion is not None else 0
        require(
            not has_mlp or mlp_width >= 1, f"mlp_expansion={mlp_expansion} leaves the MLP no width"
        )
        require(
            mlp_width <= WIDEST_MLP,
            f"mlp_expansion={mlp_expansion} makes an MLP of more than {WIDEST_MLP:,} features; "
            "lower it",
        )
        self.rank = rank
        blocks, scanned = [], False
        settings: Any = mixers
        for index in range(depth):
            name = pattern[index % len(pattern)]
            where = f"{prefix}.mixers.{name}"
            mixer = construct_kind(MIXERS, settings[name], where, width=width, rngs=rngs)
            scans = mixer.rank == 1 and rank > 1 and scan is not None
            scanned |= scans
            _require_rank(mixer, rank, scans, where)
            if causal and not mixer.causal:
                raise ConfigError(_not_causal(settings[name], where))
            if mixer.stride > 1 and not strides:
                raise ConfigError(
                    f"{where}.stride={mixer.stride} leaves fewer outputs than positions; only "
                    "many-to-one tasks and encoders can do with them: set it to 1"
                )
            blocks.append(
                Block(
                    mixer,
                    width,
                    norm,
                    norm_position,
                    mlp,
                    mlp_width,
                    dropout,
                    cross=cross() if cross is not None else None,
                    scan=scan if scans else None,
                    rngs=rngs,
                )
            )
        require_with(
            scan, scanned, "scan", "mixers that work on the task's axes", wanted_if_missing=False
        )
        self.blocks = nnx.List(blocks)
        self.norm = Norm(width, norm, rngs=rngs) if norm_position == "pre" else None

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
