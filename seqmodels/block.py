"""A block: what stands around one mixer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import jax
from flax import nnx
from ml_collections import ConfigDict

from seqmodels.arrays import AnyArray, Array, Bool, Float, Key, State
from seqmodels.config import construct
from seqmodels.errors import ConfigError, require, require_with
from seqmodels.layers import MLP, MLPKind, Norm, NormKind, dropout
from seqmodels.mixers import Cost, CrossAttention, Mixer
from seqmodels.mixers.cross_attention import Source
from seqmodels.ops.grids import ScanOrder, average_windows, grid_to_sequence, sequence_to_grid

NormPosition = Literal["pre", "post"]
Mask = Bool[AnyArray, "B *L"] | None
WIDEST_MLP = 2**24
"""Features of an MLP at most."""


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

    def __post_init__(self):
        require(0 <= self.dropout < 1, f"dropout={self.dropout} is not at least 0 and below 1")
        require_with(self.mlp_expansion, self.mlp != "none", "mlp_expansion", f"mlp={self.mlp!r}")

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
        cross: CrossAttention | None = None,
        scan: ScanOrder | None = None,
        rngs: nnx.Rngs,
    ):
        self.mixer = mixer
        self.settings = settings
        self.mixer_norm = Norm(width, settings.norm, rngs=rngs)
        features = settings.mlp_width(width)
        self.mlp = MLP(width, features, settings.mlp, rngs=rngs) if features else None
        self.mlp_norm = Norm(width, settings.norm, rngs=rngs) if features else None
        self.cross = cross
        self.cross_norm = Norm(width, settings.norm, rngs=rngs) if cross is not None else None
        self.scan: ScanOrder | None = scan

    def __call__(
        self,
        x: Float[Array, "B *L D"],
        mask: Mask,
        key: Key[Array, ""] | None,
        source: Source | None = None,
    ) -> tuple[Float[Array, "B *M D"], Bool[AnyArray, "B *M"] | None]:
        """Whole sequences or grids, and the mask of the result; dropout only with a key."""
        keys = self._keys(key)
        mixer_key = keys.pop(0)
        shorten, coarse = lambda y: y, mask
        if self.mixer.stride > 1:
            shorten = lambda y: average_windows(y, mask, self.mixer.stride)[0]  # noqa: E731
            coarse = average_windows(x, mask, self.mixer.stride)[1]
        mix = lambda y: (self._mix(y, mask, mixer_key), None)  # noqa: E731
        return self._residuals(x, mix, keys, source, shorten)[0], coarse

    def extend(
        self,
        x: Float[Array, "B L D"],
        state: State,
        key: Key[Array, ""] | None = None,
        source: Source | None = None,
    ) -> tuple[Float[Array, "B L D"], State]:
        """A chunk that continues from the mixer's state."""
        keys = self._keys(key)[1:]
        return self._residuals(x, lambda y: self.mixer.extend(y, state), keys, source)

    def cost(self, length: int, source_length: int) -> Cost:
        """The forward cost of one sequence, or of a grid with so many positions."""
        total = self.mixer.cost(length)
        if self.cross is not None:
            total += self.cross.cost(length, source_length)
        if self.mlp is not None:
            products = sum(
                layer.weights.size
                for layer in (self.mlp.gate, self.mlp.inputs, self.mlp.outputs)
                if layer is not None
            )
            total += Cost(length * 2 * products, 0, 1)
        return total

    def _keys(self, key: Key[Array, ""] | None) -> list:
        count = 3 if self.cross is None else 4
        return [None] * count if key is None else list(jax.random.split(key, count))

    def _mix(self, y, mask, key):
        if self.scan is None:
            return self.mixer(y, mask, key)
        sequence = grid_to_sequence(y, self.scan)
        mask = None if mask is None else grid_to_sequence(mask[..., None], self.scan)[..., 0]
        return sequence_to_grid(self.mixer(sequence, mask, key), y.shape[1:-1], self.scan)

    def _residuals(
        self,
        x: Float[Array, "B *L D"],
        mix: Callable,
        keys: list,
        source: Source | None,
        shorten: Callable = lambda y: y,
    ) -> tuple[Float[Array, "B *M D"], State]:
        state = None

        def add(x, norm, f, key, shortcut=lambda y: y):
            before = self.settings.norm_position == "pre"
            y = dropout(f(norm(x) if before else x), self.settings.dropout, key)
            if self.settings.residual:
                y = shortcut(x) + y
            return y if before else norm(y)

        def mixed(y):
            nonlocal state
            y, state = mix(y)
            return y

        x = add(x, self.mixer_norm, mixed, keys[0], shorten)
        if self.cross is not None:
            assert source is not None
            cross = self.cross
            x = add(x, self.cross_norm, lambda y: cross(y, source), keys[2])
        if self.mlp is not None:
            x = add(x, self.mlp_norm, self.mlp, keys[1])
        return x, state
