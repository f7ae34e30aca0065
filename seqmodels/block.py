"""A block: what stands around one mixer."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import jax
from flax import nnx
from ml_collections import ConfigDict

from seqmodels.arrays import AnyArray, Array, Bool, Float, Key, State
from seqmodels.config import construct
from seqmodels.errors import ConfigError, require, require_with
from seqmodels.layers import MLP, MLPKind, Norm, NormKind, dropout
from seqmodels.mixers import (
    Context,
    CrossAttention,
    Mixer,
    Room,
    Short,
    ShortActivation,
    ShortConvolution,
)
from seqmodels.observing import observe, within
from seqmodels.ops.grids import ScanOrder, average_windows, grid_to_sequence, sequence_to_grid
from seqmodels.placement import placed
from seqmodels.remat import named

NormPosition = Literal["pre", "post"]
BlockState = dict[str, Any]
"""``mixer``: its state, :class:`Room` before the first chunk, or None where nobody wants one; of a
short convolution before it ``short``, the same; with cross-attention ``source``: what it attends
to."""
WIDEST_MLP = 2**24
"""Features of an MLP at most."""
LONGEST_SHORT = 64
"""Positions of a short convolution's kernel at most: each is a pass over all features."""


@dataclass(frozen=True, kw_only=True)
class BlockSettings:
    """What stands around the mixers: keys of a config's ``model`` section, for all its blocks.

    ``model.blocks.NAME`` sets any of them otherwise in the blocks of one name of the pattern (of an
    encoder and a decoder: ``model.encoder.blocks.NAME``, ``model.decoder.blocks.NAME``).
    """

    norm: NormKind = "layer"
    norm_position: NormPosition = "pre"
    """Before each mixer, attention and MLP, or after its residual connection."""
    mlp: MLPKind = "none"
    mlp_expansion: float | None = None
    """The MLP's width as a multiple of D; None without an MLP."""
    dropout: float = 0.0
    """The share of features dropped after each mixer, attention and MLP, in training."""
    residual: bool = True
    """Whether what goes into each of them is added to what comes out."""
    short_convolution: int | None = None
    """The kernel, usually of 4 positions, of a convolution of each feature by itself: of those
    projections of the mixer that take one, such as queries, keys and values, else of all that it
    reads. Causal where the mixer is; where it sees both sides centred, an even kernel one wider.
    None for none."""
    short_activation: ShortActivation = "none"
    """What follows that convolution."""

    def __post_init__(self):
        require(0 <= self.dropout < 1, f"dropout={self.dropout} is not at least 0 and below 1")
        require_with(self.mlp_expansion, self.mlp != "none", "mlp_expansion", f"mlp={self.mlp!r}")
        kernel, activation = self.short_convolution, self.short_activation
        require(
            kernel is None or 2 <= kernel <= LONGEST_SHORT,
            f"short_convolution={kernel} is not from 2 to {LONGEST_SHORT} positions, 4 as a rule; "
            "None leaves it out",
        )
        require(
            kernel is not None or activation == "none",
            f"short_activation={activation!r} is never read with short_convolution=None; leave it "
            "'none'",
        )

    @property
    def short(self) -> Short | None:
        """The short convolution, as mixers take it."""
        kernel = self.short_convolution
        return None if kernel is None else Short(kernel, self.short_activation)

    def changed(self, changes: Any, path: str) -> "BlockSettings":
        """These, with those that a section sets otherwise; ConfigError where it can't."""
        if not isinstance(changes, Mapping | ConfigDict):
            raise ConfigError(f"{path}={changes!r} is not a section of a block's settings")
        values = {field.name: getattr(self, field.name) for field in fields(BlockSettings)}
        return construct(BlockSettings, values | dict(changes.items()), path)

    def mlp_width(self, width: int) -> int:
        """Features F of the MLP beside D others, 0 without one; ParameterError where none fits."""
        if self.mlp_expansion is None:
            return 0
        features = round(width * self.mlp_expansion)
        require(features >= 1, f"mlp_expansion={self.mlp_expansion} leaves the MLP no width")
        require(
            features <= WIDEST_MLP,
            f"mlp_expansion={self.mlp_expansion} makes an MLP of more than {WIDEST_MLP:,} "
            "features; lower it",
        )
        return features


class Block(nnx.Module):
    """A mixer and an MLP, each with dropout, a residual connection and a norm.

    Pre-norm: ``x + f(norm(x))`` (Xiong et al. 2020). Post-norm: ``norm(x + f(x))``
    (Vaswani et al. 2017). Without the residual connection x is not added. With cross-attention,
    between the two, it is a block of a decoder.

    Where the mixer has a stride the block's output lies on the coarser grid, and
    the residual connection takes the mean of the positions that become one.
    """

    def __init__(
        self,
        mixer: Mixer,
        width: int,
        settings: BlockSettings,
        *,
        short: ShortConvolution | None = None,
        cross: CrossAttention | None = None,
        scan: ScanOrder | None = None,
        rngs: nnx.Rngs,
    ):
        self.mixer = mixer
        self.short = short
        self.settings = settings
        self.mixer_norm = Norm(width, settings.norm, rngs=rngs)
        features = settings.mlp_width(width)
        self.mlp = MLP(width, features, settings.mlp, rngs=rngs) if features else None
        self.mlp_norm = Norm(width, settings.norm, rngs=rngs) if features else None
        self.cross = cross
        self.cross_norm = Norm(width, settings.norm, rngs=rngs) if cross is not None else None
        self.scan: ScanOrder | None = scan

    def __call__(
        self, x: Float[Array, "B *L D"], state: BlockState, context: Context
    ) -> tuple[Float[Array, "B *M D"], BlockState, Context]:
        """A chunk that comes after a state, the state then, and the context of what is left.

        Whole sequences or grids where the mixer's state is None. Dropout only with a key.
        """
        x = placed(x, "B L D")  # of a grid the first axis is shared
        mixer_key, mixed_key, mlp_key, cross_key = (
            [None] * 4 if context.key is None else jax.random.split(context.key, 4)
        )
        with within("mixer"):
            y, after = self._mix(
                self._before(x, self.mixer_norm), state, context._replace(key=mixer_key)
            )
            y = named(y, "mixer_outputs")
            if after["mixer"] is not None:
                observe("state", after["mixer"])
        if self.mixer.stride > 1:
            x, valid = average_windows(x, context.valid, self.mixer.stride)
            context = context.coarser(valid, self.mixer.stride)
        x = self._add(x, y, self.mixer_norm, mixed_key)
        if self.cross is not None and self.cross_norm is not None:
            with within("cross"):
                y = self.cross(self._before(x, self.cross_norm), state["source"])
            x = self._add(x, y, self.cross_norm, cross_key)
        if self.mlp is not None and self.mlp_norm is not None:
            y = self.mlp(self._before(x, self.mlp_norm))
            x = self._add(x, y, self.mlp_norm, mlp_key)
        return x, state | after, context

    def start(
        self,
        room: Room | None,
        source: Float[Array, "B S D"] | None = None,
        source_valid: Bool[AnyArray, "B S"] | None = None,
    ) -> BlockState:
        """The state before the first position; None for ``room`` where nobody wants the next."""
        state: BlockState = {"mixer": room}
        if self.short is not None:
            state["short"] = room
        if self.cross is not None:
            assert source is not None
            state["source"] = self.cross.project(source, source_valid)
        return state

    def _mix(
        self, x: Float[Array, "B *L D"], state: BlockState, context: Context
    ) -> tuple[Float[Array, "B *M D"], BlockState]:
        """The mixer, which reads a grid in the order of ``scan`` where it can't otherwise."""
        if self.scan is None:
            return self._mix_sequence(x, state, context)
        sequence, valid = grid_to_sequence(x, self.scan), context.valid
        if valid is not None:
            valid = grid_to_sequence(valid[..., None], self.scan)[..., 0]
        context = Context.of(
            sequence.shape[0],
            sequence.shape[1],
            valid,
            position_range=self.mixer.position_range,
            draw=context.key,
            key=context.key,
        )
        y, after = self._mix_sequence(sequence, state, context)
        return sequence_to_grid(y, x.shape[1:-1], self.scan), after

    def _mix_sequence(
        self, x: Float[Array, "B *L D"], state: BlockState, context: Context
    ) -> tuple[Float[Array, "B *M D"], BlockState]:
        """What stands before the mixer, and the mixer; and their states then."""
        after: BlockState = {}
        if self.short is not None:
            x, after["short"] = self.short(x, state["short"], context)
        y, mixed = self.mixer.mix(x, state["mixer"], context)
        return y, after | {"mixer": None if state["mixer"] is None else self._placed(mixed)}

    def _placed(self, state: State) -> State:
        """A mixer's state, each leaf where its letters say."""
        letters = self.mixer.state_letters

        def place(letters: str, leaf: Array) -> Array:
            return placed(leaf, letters if self.mixer.divisible else "B")

        return jax.tree.map(place, letters, state)

    def _before(self, x: Float[Array, "*B D"], norm: Norm) -> Float[Array, "*B D"]:
        return norm(x) if self.settings.norm_position == "pre" else x

    def _add(
        self,
        x: Float[Array, "*B D"],
        y: Float[Array, "*B D"],
        norm: Norm,
        key: Key[Array, ""] | None,
    ) -> Float[Array, "*B D"]:
        y = dropout(y, self.settings.dropout, key)
        total = placed(x + y if self.settings.residual else y, "B L D")
        return total if self.settings.norm_position == "pre" else norm(total)
