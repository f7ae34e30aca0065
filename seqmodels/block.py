"""A block: what stands around one mixer."""

from collections.abc import Callable
from typing import Literal

import jax
from flax import nnx

from seqmodels.arrays import AnyArray, Array, Bool, Float, Key, State
from seqmodels.layers import MLP, MLPKind, Norm, NormKind, dropout
from seqmodels.mixers import CrossAttention, Mixer
from seqmodels.mixers.cross_attention import Source
from seqmodels.ops.grids import ScanOrder, average_windows, grid_to_sequence, sequence_to_grid

NormPosition = Literal["pre", "post"]
Mask = Bool[AnyArray, "B *L"] | None


class Block(nnx.Module):
    """A mixer and an MLP, each with dropout, a residual connection and a norm.

    Pre-norm: ``x + f(norm(x))`` (Xiong et al. 2020). Post-norm: ``norm(x + f(x))``
    (Vaswani et al. 2017). With cross-attention, between the two, it is a block of a decoder.

    Where the mixer has a stride the block's output lies on the coarser grid, and
    the residual connection takes the mean of the positions that become one.
    """

    def __init__(
        self,
        mixer: Mixer,
        width: int,
        norm: NormKind,
        norm_position: NormPosition,
        mlp: MLPKind,
        mlp_width: int,
        dropout_rate: float,
        *,
        cross: CrossAttention | None = None,
        scan: ScanOrder | None = None,
        rngs: nnx.Rngs,
    ):
        self.mixer = mixer
        self.mixer_norm = Norm(width, norm, rngs=rngs)
        self.mlp = MLP(width, mlp_width, mlp, rngs=rngs) if mlp != "none" else None
        self.mlp_norm = Norm(width, norm, rngs=rngs) if mlp != "none" else None
        self.cross = cross
        self.cross_norm = Norm(width, norm, rngs=rngs) if cross is not None else None
        self.norm_position = norm_position
        self.dropout_rate = dropout_rate
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
            if self.norm_position == "pre":
                return shortcut(x) + dropout(f(norm(x)), self.dropout_rate, key)
            return norm(shortcut(x) + dropout(f(x), self.dropout_rate, key))

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
