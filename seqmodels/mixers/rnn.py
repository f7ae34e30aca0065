"""Recurrent networks: one step after another, with a state of fixed size."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Bool, Float, State
from seqmodels.errors import require
from seqmodels.layers import Linear
from seqmodels.mixers.base import Context, Cost, Mixer, Room
from seqmodels.mixers.decays import observe_decay
from seqmodels.ops import newton, recurrence
from seqmodels.parameters import Whole, parameter


class _Recurrent(Mixer):
    """What the three recurrences share: a projection of all inputs at once, then the steps.

    Args:
      form: how the steps are computed, a name in
        :data:`~seqmodels.ops.recurrence.RECURRENCE`: "steps" one after the other, which None takes,
        or by Newton's method (:mod:`seqmodels.ops.newton`), "newton" with whole Jacobians, "quasi"
        with their diagonals, "damped" with these shrunk. A token that follows a state is a step.
    """

    causal = True
    divisible = False
    gates: int
    states: int = 1

    def __init__(self, width: int, form: str | None, rngs: nnx.Rngs):
        recurrence.RECURRENCE.require_form(form)
        require(
            form != "newton" or self.states * width <= newton.MOST_STATES,
            f"form='newton' has Jacobians of up to {newton.MOST_STATES} numbers of state, and "
            f"these are {self.states * width}; take 'quasi' or 'damped'",
        )
        self.width = width
        self.form = form
        self.inputs = Linear({"D": width}, {"gates": self.gates, "D": width}, rngs=rngs)
        orthogonal = nnx.initializers.orthogonal()
        blocks = [orthogonal(rngs.params(), (width, width)) for _ in range(self.gates)]
        self.weights = Whole(jnp.concatenate(blocks, axis=1), "weights").cut(
            (width, self.gates, width), ("D", "gates", "D"), decays=True
        )

    @property
    def state_letters(self) -> str | tuple[str, ...]:
        return "B D" if self.states == 1 else ("B D",) * self.states

    def mix(
        self, x: Float[Array, "B L D"], state: State | None, context: Context
    ) -> tuple[Float[Array, "B L D"], State]:
        """Runs from the state, or from zeros; padding carries it unchanged."""
        if state is None or isinstance(state, Room):
            state = self.initial_state(x.shape[0], 0)
        form = self.form if x.shape[1] > 1 else None
        return self._run(self._project(x), state, context.valid, form)

    def initial_state(self, batch_size: int, room: int) -> State:
        """Zeros, in float32; any number of positions may follow."""
        zeros = jnp.zeros((batch_size, self.width), jnp.float32)
        return zeros if self.states == 1 else (zeros,) * self.states

    def _project(self, x: Float[Array, "B L D"]) -> Float[Array, "B L G"]:
        """Every gate's part of the inputs, side by side, as the operations take them."""
        return self.inputs(x).reshape(*x.shape[:2], -1)

    @property
    def _recurrent(self) -> Float[Array, "D G"]:
        """The recurrent weights, gates side by side."""
        return self.weights[...].reshape(self.width, -1)

    def _observe_gate(
        self,
        projected: Float[Array, "B L G"],
        h: Float[Array, "B D"],
        outputs: Float[Array, "B L D"],
        mask: Bool[Array, "B L"] | None,
    ) -> None:
        """The second gate, in which a state is kept, as a decay."""

        def log_gate():
            before = jnp.concatenate([h[:, None], outputs[:, :-1].astype(jnp.float32)], axis=1)
            ours = projected.reshape(*outputs.shape[:2], self.gates, -1)[:, :, 1]
            return jax.nn.log_sigmoid(ours + before @ self.weights[...][:, 1])[:, :, None]

        observe_decay(log_gate, mask)

    def _run(
        self,
        projected: Float[Array, "B L G"],
        state: State,
        mask: Bool[Array, "B L"] | None,
        form: str | None,
    ) -> tuple[Float[Array, "B L D"], State]:
        raise NotImplementedError

    def cost(self, length: int) -> Cost:
        """Two products of [D] with [D, gates * D] a step; as many dependent steps as positions."""
        return Cost(
            flops=length * 4 * self.gates * self.width**2,
            state_bytes=self.state_bytes(length),
            sequential_depth=length if self.form in (None, "steps") else newton.depth(length),
        )


class RNN(_Recurrent):
    """The vanilla recurrent network (Elman 1990): ``h_t = f(W x_t + b + U h_{t-1})``.

    Args:
      activation: f, tanh or relu.
    """

    gates = 1

    def __init__(
        self,
        width: int,
        activation: Literal["tanh", "relu"] = "tanh",
        form: str | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        super().__init__(width, form, rngs)
        self.activation: Literal["tanh", "relu"] = activation

    def _run(self, projected, state, mask, form):
        weights, activation = self._recurrent, self.activation
        return recurrence.simple_rnn(projected, weights, state, mask, activation, form)


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; with forget gate, Gers 2000).

    ``i, f, g, o = split(W x_t + b + U h_{t-1})``,
    ``c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)``, ``h_t = sigmoid(o) tanh(c_t)``.
    The forget gate's bias starts at 1 (Jozefowicz et al. 2015).
    """

    gates = 4
    states = 2

    def __init__(self, width: int, form: str | None = None, *, rngs: nnx.Rngs):
        super().__init__(width, form, rngs)
        self.inputs.bias[...] = self.inputs.bias[...].at[1].set(1.0)

    def _run(self, projected, state, mask, form):
        outputs, after = recurrence.lstm(projected, self._recurrent, state, mask, form)
        self._observe_gate(projected, state[0], outputs, mask)
        return outputs, after


class GRU(_Recurrent):
    """Gated recurrent unit (Cho et al. 2014, in the form with the reset after the product).

    ``r, z = sigmoid(W x_t + b + U h_{t-1})``, ``n = tanh(W_n x_t + b_n + r (U_n h_{t-1} + c_n))``,
    ``h_t = (1 - z) n + z h_{t-1}``.
    """

    gates = 3

    def __init__(self, width: int, form: str | None = None, *, rngs: nnx.Rngs):
        super().__init__(width, form, rngs)
        self.bias = parameter(jnp.zeros((width,)), "D", decays=False)

    def _run(self, projected, state, mask, form):
        given = (projected, self._recurrent, self.bias[...], state, mask, form)
        outputs, after = recurrence.gru(*given)
        self._observe_gate(projected, state, outputs, mask)
        return outputs, after
