"""What mixers with a matrix as their state share: heads, chunks, cost, and what they make of it."""

import math
from dataclasses import KW_ONLY, InitVar, dataclass
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Float, State
from seqmodels.errors import require
from seqmodels.layers import Axes, Linear, Norm, NormKind
from seqmodels.mixers.base import Context, Cost, Mixer, features_of_a_head
from seqmodels.mixers.decays import observe_decay, observe_norms
from seqmodels.mixers.short_convolution import Short, ShortConvolutions
from seqmodels.ops.delta_rule import delta_norms, delta_rule
from seqmodels.ops.matrix_state import LogDecay, matrix_norms, matrix_state

Form = Literal["recurrent", "blocks", "chunked"]
Gate = Literal["silu", "sigmoid"]
WIDEST_HEAD = 2**12
"""Rows, and columns, of a head's state at most: a step is written out for each of them."""


@dataclass(eq=False, repr=False)
class MatrixMixer(Mixer):
    """Heads that each keep a matrix [K, U] of what keys have written of values.

    Its fields are its settings. A subclass adds its own, and says how wide keys and values are
    (``_widths``), what else it learns (``_begin``), what becomes of its projections (``_run``) and
    what of its heads' outputs (``_finish``).

    Args:
      heads: the number of heads H.
      chunk: positions that the chunked form computes at once, a power of 2.
      form: "recurrent" or "chunked"; None goes by platform and length.
    """

    width: int
    heads: int = 4
    _: KW_ONLY
    chunk: int = 64
    form: Form | None = None
    rngs: InitVar[nnx.Rngs]

    causal = True
    products: ClassVar[int] = 3
    """Matrices [K, U] of products a position: what decays, erases, writes and reads the state."""
    sums = False
    """Whether the sum of what keys have written is kept too, as one more column of the matrix."""
    steps_a_token = 1
    """Writes of a position that follow one another."""

    def __post_init__(self, rngs: nnx.Rngs) -> None:
        self._make(rngs, None)

    def _make(self, rngs: nnx.Rngs, short: Short | None) -> None:
        """Makes the projections, their convolutions, and what ``_begin`` makes."""
        require(
            self.chunk >= 1 and self.chunk & (self.chunk - 1) == 0,
            f"chunk={self.chunk} is no power of 2; choose one, such as 64",
        )
        self.key_width, self.value_width = self._widths()
        for side, features in (("keys", self.key_width), ("values", self.value_width)):
            require(
                features <= WIDEST_HEAD,
                f"heads={self.heads} have {side} of {features:,} features each, above "
                f"{WIDEST_HEAD:,}; take more heads, or narrower ones",
            )
        several = self._axes()
        for name, axes in several.items():
            setattr(self, name, Linear({"D": self.width}, axes, rngs=rngs))
        projections = {name: several[name] for name in self.convolved}
        self.short = ShortConvolutions(short, projections, rngs=rngs)
        self._begin(rngs)

    def _widths(self) -> tuple[int, int]:
        """K and U; ParameterError where settings can't be."""
        raise NotImplementedError

    def _axes(self) -> dict[str, Axes]:
        """The axes of what x is projected to."""
        keys: Axes = {"H": self.heads, "K": self.key_width}
        return {"queries": keys, "keys": keys, "values": {"H": self.heads, "U": self.value_width}}

    def _begin(self, rngs: nnx.Rngs) -> None:
        """Makes the parameters that come after the projections."""

    @property
    def state_letters(self) -> dict[str, Any]:
        """The matrices and the sums, and what is still convolved."""
        letters = {"matrix": "B H K U"} | ({"sums": "B H K"} if self.sums else {})
        return letters | self.short.state_letters

    def initial_state(self, batch_size: int, room: int) -> State:
        """Zeros, in float32; any number of positions may follow."""
        keys = (batch_size, self.heads, self.key_width)
        state = {"matrix": jnp.zeros((*keys, self.value_width), jnp.float32)}
        state |= {"sums": jnp.zeros(keys, jnp.float32)} if self.sums else {}
        return state | self.short.initial_state(batch_size)

    def mix(
        self, x: Float[Array, "B L D"], state: State | None, context: Context
    ) -> tuple[Float[Array, "B L D"], State]:
        """Goes on from the state, or from zeros; padding leaves it as it is."""
        kept = state if isinstance(state, dict) else self.initial_state(len(x), 0)
        projected = {name: getattr(self, name)(x) for name in self._axes()}
        projected, short = self.short(projected, state, context)
        mixed, after = self._run(x, projected, kept, context)
        return self._finish(mixed, x), after | short

    def _run(
        self,
        x: Float[Array, "B L D"],
        projected: dict[str, Array],
        state: dict[str, Any],
        context: Context,
    ) -> tuple[Float[Array, "B L H U"], dict[str, Any]]:
        """Each head's outputs, and the state's items then."""
        raise NotImplementedError

    def _finish(
        self, mixed: Float[Array, "B L H U"], x: Float[Array, "B L D"]
    ) -> Float[Array, "B L D"]:
        """The mixer's outputs, of its heads'."""
        raise NotImplementedError

    def _remember(
        self,
        query: Float[Array, "B L G K"],
        key: Float[Array, "B L G K"],
        value: Float[Array, "B L H U"],
        log_decay: LogDecay,
        state: dict[str, Any],
        context: Context,
    ) -> tuple[Float[Array, "B L H columns"], dict[str, Any]]:
        """``S_t = D_t S_{t-1} + k_t v_t^T``, as the queries read it; sums as the last column."""
        matrix, valid = state["matrix"], context.valid
        if log_decay is not None:
            observe_decay(lambda: log_decay, valid)
        observe_norms(lambda: matrix_norms(key, value, log_decay, matrix, valid), valid)
        return self._carry(query, key, value, log_decay, state, context)

    def _carry(
        self,
        query: Float[Array, "B L G K"],
        key: Float[Array, "B L G K"],
        value: Float[Array, "B L H U"],
        log_decay: LogDecay,
        state: dict[str, Any],
        context: Context,
    ) -> tuple[Float[Array, "B L H columns"], dict[str, Any]]:
        """The same of what isn't as it is kept, and so is shown otherwise."""
        matrix = state["matrix"]
        if self.sums:
            matrix = jnp.concatenate([matrix, state["sums"][..., None]], axis=-1)
            value = jnp.concatenate([value, jnp.ones_like(value[..., :1])], axis=-1)
        given = (query, key, value, log_decay, matrix, context.valid)
        outputs, matrix = matrix_state(*given, chunk=self.chunk, form=self.form)
        if self.sums:
            return outputs, {"matrix": matrix[..., :-1], "sums": matrix[..., -1]}
        return outputs, {"matrix": matrix}

    def _replace(
        self,
        query: Float[Array, "B L H K"],
        key: Float[Array, "B nL H K"],
        value: Float[Array, "B nL H U"],
        erase: Float[Array, "B nL H"] | Float[Array, "B nL H K"],
        reads: Float[Array, "B nL H K"],
        log_decay: LogDecay,
        matrix: Float[Array, "B H K U"],
        context: Context,
    ) -> tuple[Float[Array, "B L H U"], Float[Array, "B H K U"]]:
        """``S_t = (D_t + a_t b_t^T) S_{t-1} + k_t v_t^T`` for each of a token's steps."""
        valid, steps = context.valid, self.steps_a_token
        given = (key, value, erase, reads, log_decay, matrix, valid)
        if log_decay is not None:
            observe_decay(lambda: log_decay, valid)
        observe_norms(lambda: delta_norms(*given, steps=steps), valid)
        return delta_rule(query, *given, chunk=self.chunk, form=self.form)

    def cost(self, length: int) -> Cost:
        """The projections, and the products of the state's size; a step a position or a chunk."""
        linears = (part for _, part in nnx.iter_modules(self) if isinstance(part, Linear))
        numbers = sum(math.prod(linear.weights.shape) for linear in linears)
        matrix = self.heads * self.key_width * (self.value_width + self.sums)
        numbers += self.products * matrix
        steps = length * self.steps_a_token
        steps = steps if self.form in ("recurrent", "blocks") else -(-steps // self.chunk)
        return Cost(length * 2 * numbers, self.state_bytes(length), steps + self.short.depth)


@dataclass(eq=False, repr=False)
class HeadMixer(MatrixMixer):
    """A matrix mixer whose heads have keys and values of their own, and outputs that are read out.

    Args:
      heads: the number of heads H, which divides the features of all keys and of all values.
      key_expansion: the features of all keys together over D, H K / D.
      value_expansion: those of all values, H U / D.
      head_norm: the norm of each head's outputs.
      output_gate: whether they are then gated, by ``f(G x_t)``.
      short: the block's short convolution, of queries, keys and values.
    """

    key_expansion: float = 1.0
    value_expansion: float = 1.0
    head_norm: NormKind = "rms"
    output_gate: bool = True
    short: InitVar[Any] = None

    convolved = ("queries", "keys", "values")
    state_settings = ("key_expansion",)
    gate: ClassVar[Gate] = "silu"
    """f of the gates."""

    def __post_init__(self, rngs: nnx.Rngs, short: Short | None) -> None:
        self._make(rngs, short)
        gate = self.gate if self.output_gate else None
        given = (self.width, self.heads, self.value_width, self.head_norm, gate)
        self.readout = Readout(*given, self._gate_rank(), rngs=rngs)

    def _widths(self) -> tuple[int, int]:
        keys = features_of_a_head(self.width, self.heads, "key_expansion", self.key_expansion)
        of_values = ("value_expansion", self.value_expansion)
        return keys, features_of_a_head(self.width, self.heads, *of_values)

    def _gate_rank(self) -> int | None:
        """Through how many features gates are made; None makes them of x at once."""
        return None

    def _finish(self, mixed, x):
        return self.readout(mixed, x)


class Readout(nnx.Module):
    """``W (norm(o_t) * f(G x_t))`` of the heads' outputs o: norm, gate and projection.

    Args:
      norm: of each head's outputs, with one scale for all heads.
      gate: f, None for no gate.
      rank: G is a product of two projections over so many features; None for one projection.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        value_width: int,
        norm: NormKind,
        gate: Gate | None,
        rank: int | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        of_heads: Axes = {"H": heads, "U": value_width}
        self.norm = Norm(value_width, norm, "U", rngs=rngs)
        self.gate: Gate | None = gate
        before: Axes = {"D": width}
        if gate is None or rank is None:
            self.down = None
        else:
            self.down = Linear(before, {"features": rank}, rngs=rngs)
            before = {"features": rank}
        self.gates = None if gate is None else Linear(before, of_heads, rngs=rngs)
        self.outputs = Linear(of_heads, {"D": width}, rngs=rngs)

    def __call__(
        self, mixed: Float[Array, "B L H U"], x: Float[Array, "B L D"]
    ) -> Float[Array, "B L D"]:
        """Of the heads' outputs, and of what the mixer was given."""
        mixed = self.norm(mixed)
        if self.gates is not None:
            gates = self.gates(x if self.down is None else self.down(x))
            mixed = mixed * (jax.nn.silu if self.gate == "silu" else jax.nn.sigmoid)(gates)
        return self.outputs(mixed)
