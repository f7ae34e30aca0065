"""A block: what stands around one mixer."""

from typing import Any, Literal

import jax
from flax import nnx

from seqmodels.arrays import AnyArray, Array, Bool, Float, Key, State
from seqmodels.layers import MLP, MLPKind, Norm, NormKind, dropout
from seqmodels.mixers import Context, Cost, CrossAttention, Mixer, Room
from seqmodels.observing import observe, within
from seqmodels.ops.grids import ScanOrder, average_windows, grid_to_sequence, sequence_to_grid

NormPosition = Literal["pre", "post"]
BlockState = dict[str, Any]
"""``mixer``: its state, :class:`Room` before the first chunk, or None where nobody wants one; and,
with cross-attention, ``source``: what it attends to."""


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
        self, x: Float[Array, "B *L D"], state: BlockState, context: Context
    ) -> tuple[Float[Array, "B *M D"], BlockState, Context]:
        """A chunk that comes after a state, the state then, and the context of what is left.

        Whole sequences or grids where the mixer's state is None. Dropout only with a key.
        """
        mixer_key, mixed_key, mlp_key, cross_key = (
            [None] * 4 if context.key is None else jax.random.split(context.key, 4)
        )
        with within("mixer"):
            y, mixed = self._mix(
                self._before(x, self.mixer_norm), state["mixer"], context._replace(key=mixer_key)
            )
            if mixed is not None:
                observe("state", mixed)
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
        return x, state | {"mixer": mixed}, context

    def start(
        self,
        room: Room | None,
        source: Float[Array, "B S D"] | None = None,
        source_valid: Bool[AnyArray, "B S"] | None = None,
    ) -> BlockState:
        """The state before the first position; None for ``room`` where nobody wants the next."""
        if self.cross is None:
            return {"mixer": room}
        assert source is not None
        return {"mixer": room, "source": self.cross.project(source, source_valid)}

    def cost(self, length: int, source_length: int) -> Cost:
        """The forward cost of one sequence, or of a grid with so many positions."""
        total = self.mixer.cost(length)
        if self.cross is not None:
            total += self.cross.cost(length, source_length)
        if self.mlp is not None:
            linears = (self.mlp.inputs, self.mlp.outputs)
            products = sum(l.weights.shape[0] * l.weights.shape[1] for l in linears)  # noqa: E741
            total += Cost(length * 2 * products, 0, 1)
        return total

    def _mix(
        self, x: Float[Array, "B *L D"], state: State | None, context: Context
    ) -> tuple[Float[Array, "B *M D"], State | None]:
        """The mixer, which reads a grid in the order of ``scan`` where it can't otherwise."""
        if self.scan is None:
            y, after = self.mixer.mix(x, state, context)
            return y, None if state is None else after
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
        y = self.mixer(sequence, context)
        return sequence_to_grid(y, x.shape[1:-1], self.scan), None

    def _before(self, x: Float[Array, "*B D"], norm: Norm) -> Float[Array, "*B D"]:
        return norm(x) if self.norm_position == "pre" else x

    def _add(
        self,
        x: Float[Array, "*B D"],
        y: Float[Array, "*B D"],
        norm: Norm,
        key: Key[Array, ""] | None,
    ) -> Float[Array, "*B D"]:
        x = x + dropout(y, self.dropout_rate, key)
        return x if self.norm_position == "pre" else norm(x)
