"""What the mixers on a diagonal linear recurrence share: a state, a form, and what stands after."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Bool, Float, State
from seqmodels.errors import require
from seqmodels.layers import Linear
from seqmodels.mixers.base import WIDEST, Context, Cost, Mixer, Room
from seqmodels.mixers.decays import observe_decay
from seqmodels.mixers.short_convolution import Short, ShortConvolutions
from seqmodels.ops.diagonal_recurrence import FormName, diagonal_recurrence, sequential_depth
from seqmodels.ops.linear import linear

Pair = tuple[Array, Array]
"""The real and the imaginary parts of complex numbers."""
GateKind = Literal["full", "half", "none"]


class DiagonalMixer(Mixer):
    """A mixer whose state is carried by ``h_t = a_t h_{t-1} + b_t``, each feature by itself."""

    causal = True
    state_shape: tuple[int, ...]
    """Of a row's state."""
    is_complex = False
    """Whether its state has a real and an imaginary part."""

    def __init__(self, width: int, form: str | None):
        self.width = width
        self.form = form

    def mix(
        self, x: Float[Array, "B L D"], state: State | None, context: Context
    ) -> tuple[Float[Array, "B L D"], State]:
        """Runs from the state, or from zeros; padding carries it unchanged."""
        if state is None or isinstance(state, Room):
            state = self.initial_state(x.shape[0], 0)
        return self._run(x, state, context.valid)

    def initial_state(self, batch_size: int, room: int) -> State:
        """Zeros, in float32; any number of positions may follow."""
        zeros = jnp.zeros((batch_size, *self.state_shape), jnp.float32)
        return (zeros, zeros) if self.is_complex else zeros

    def _run(
        self, x: Float[Array, "B L D"], state: State, valid: Bool[Array, "B L"] | None
    ) -> tuple[Float[Array, "B L D"], State]:
        raise NotImplementedError


class SharedStates(DiagonalMixer):
    """N complex states for all: ``h_t = a h_{t-1} + B x_t``, ``y_t = r Re(C h_t) + d x_t``.

    Then a :class:`Gate`. A subclass makes C, d, the gate, and what a and B are made of.
    """

    state_letters = ("B N", "B N")
    state_settings = ("states",)
    is_complex = True
    read = 1
    """r: 2 where of each conjugate pair one state is kept."""
    C: nnx.Param
    skip: nnx.Param
    gate: "Gate"

    def __init__(self, width: int, states: int | None, form: FormName | None):
        super().__init__(width, form)
        self.states = width if states is None else states
        require_states(self.states)

    def _transition(self) -> tuple[Float[Array, "N"], Pair, Float[Array, "D N 2"]]:
        """log |a| and a, [N], and B."""
        raise NotImplementedError

    def _run(self, x, state, valid):
        log_decay, decay, B = self._transition()
        observe_decay(lambda: log_decay[None, None, None], valid)
        decay = decay[0][None, None], decay[1][None, None]
        h, state = diagonal_recurrence(decay, complex_product(x, B), state, valid, self.form)
        y = self.read * real_product(h, self.C[...])
        return self.gate(y + scaled(x, self.skip[...])), state

    def cost(self, length: int) -> Cost:
        """Products with B, C and in the gate; a complex multiply-add of each state is four."""
        (states,) = self.state_shape
        flops = 2 * 4 * states * self.width + 8 * states + self.gate.flops
        depth = sequential_depth(length, self.form)
        return Cost(length * flops, self.state_bytes(length), depth)


class BranchedMixer(DiagonalMixer):
    """``y = W_y (f(W_g x) * r)``, where r is what a recurrence makes of another branch, ``W_u x``.

    That branch takes the block's short convolution. The state is an item "h", and "short" with it.
    """

    convolved = ("x",)

    def __init__(
        self, width: int, inner: int, short: Short | None, form: FormName | None, rngs: nnx.Rngs
    ):
        super().__init__(width, form)
        self.inputs = Linear({"D": width}, {"gates": 2, "E": inner}, rngs=rngs)
        self.short = ShortConvolutions(short, {"x": {"E": inner}}, rngs=rngs)
        self.outputs = Linear({"E": inner}, {"D": width}, rngs=rngs)

    def mix(
        self, x: Float[Array, "B L D"], state: State | None, context: Context
    ) -> tuple[Float[Array, "B L D"], State]:
        """Runs from the state, or from zeros; padding carries it unchanged."""
        gate, u = jnp.unstack(self.inputs(x), axis=2)
        convolved, short = self.short({"x": u}, state, context)
        h = state["h"] if isinstance(state, dict) else super().initial_state(len(x), 0)
        y, h = self._run(convolved["x"], h, context.valid)
        return self.outputs(self._activate(gate) * y), {"h": h} | short

    def initial_state(self, batch_size: int, room: int) -> State:
        """Zeros, in float32; any number of positions may follow."""
        return {"h": super().initial_state(batch_size, room)} | self.short.initial_state(batch_size)

    @property
    def state_letters(self) -> dict[str, Any]:
        return {"h": self.letters} | self.short.state_letters

    letters: str
    """The axes of the recurrence's state."""

    def _activate(self, gate: Float[Array, "B L E"]) -> Float[Array, "B L E"]:
        raise NotImplementedError


class Gate(nnx.Module):
    """``(W g + b) * sigmoid(V g + c)`` of ``g = gelu(y)``, half of it, ``g * sigmoid(V g + c)``.

    The full one is that of Dauphin et al. 2017, as after S4D and the LRU; the half one stands after
    S5. Without either y stays as it is.
    """

    def __init__(self, width: int, kind: GateKind, *, rngs: nnx.Rngs):
        gates = {"full": 2, "half": 1, "none": 0}[kind]
        outputs = {"gates": gates, "D": width}
        self.projection = Linear({"D": width}, outputs, rngs=rngs) if gates else None
        self.flops = 2 * gates * width**2
        """Of a position."""

    def __call__(self, y: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        if self.projection is None:
            return y
        hidden = nnx.gelu(y)
        made = self.projection(hidden)  # [B, L, gates, D]
        value = made[:, :, 0] if made.shape[2] == 2 else hidden
        return value * jax.nn.sigmoid(made[:, :, -1])


def complex_product(x: Float[Array, "B L D"], weights: Float[Array, "D N 2"]) -> Pair:
    """``x W`` with complex W."""
    joined = jnp.concatenate([weights[..., 0], weights[..., 1]], axis=1)
    real, imaginary = jnp.split(linear(x, joined), 2, axis=-1)
    return real, imaginary


def real_product(h: Pair, weights: Float[Array, "N D 2"]) -> Float[Array, "B L D"]:
    """``Re(h W)`` with complex h and W."""
    return linear(h[0], weights[..., 0]) - linear(h[1], weights[..., 1])


def scaled(x: Float[Array, "B L E"], factors: Float[Array, "E"]) -> Float[Array, "B L E"]:
    """Each feature times a factor of its own."""
    return x * factors.astype(x.dtype)[None, None]


def expanded(width: int, expansion: float) -> int:
    """The inner width E; ParameterError where there is none, or too much of it."""
    inner = round(width * expansion)
    require(inner >= 1, f"expansion={expansion} leaves the mixer no width; raise it")
    require(inner <= WIDEST, f"expansion={expansion} makes {inner:,} features; lower it")
    return inner


def require_states(states: int, channels: int = 1) -> None:
    """Refuses a number of states, each of so many channels, that can't be."""
    require(states >= 1, f"states={states} is below 1")
    require(
        states * channels <= WIDEST,
        f"states={states} makes {states * channels:,} of all channels, and {WIDEST:,} can be; "
        "lower it",
    )
