"""Recurrent networks: one step after another, with a state of fixed size."""

from typing import Literal

import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import Array, Bool, Float, Key, State
from seqmodels.layers import Linear
from seqmodels.mixers.base import Cost
from seqmodels.ops import recurrence
from seqmodels.parameters import Whole, parameter


class _Recurrent(nnx.Module):
    """What the three recurrences share: a projection of all inputs at once, then the steps."""

    causal = True
    rank = 1
    stride = 1
    gates: int
    states: int = 1

    def __init__(self, width: int, rngs: nnx.Rngs):
        self.width = width
        self.inputs = Linear({"D": width}, {"gates": self.gates, "D": width}, rngs=rngs)
        orthogonal = nnx.initializers.orthogonal()
        blocks = [orthogonal(rngs.params(), (width, width)) for _ in range(self.gates)]
        self.weights = Whole(jnp.concatenate(blocks, axis=1), "weights").cut(
            (width, self.gates, width), ("D", "gates", "D"), decays=True
        )

    def __call__(
        self,
        x: Float[Array, "B L D"],
        mask: Bool[Array, "B L"] | None = None,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "B L D"]:
        """Runs from the zero state; where mask is False the state is carried unchanged."""
        del key
        return self._run(self._project(x), self.initial_state(x.shape[0], 0), mask)[0]

    def initial_state(self, batch_size: int, max_length: int) -> State:
        """Zeros, in float32; any number of positions may follow."""
        del max_length
        zeros = jnp.zeros((batch_size, self.width), jnp.float32)
        return zeros if self.states == 1 else (zeros,) * self.states

    def extend(self, x: Float[Array, "B L D"], state: State) -> tuple[Float[Array, "B L D"], State]:
        """Runs from a given state."""
        return self._run(self._project(x), state, None)

    def _project(self, x: Float[Array, "B L D"]) -> Float[Array, "B L G"]:
        """Every gate's part of the inputs, side by side, as the operations take them."""
        return self.inputs(x).reshape(*x.shape[:2], -1)

    @property
    def _recurrent(self) -> Float[Array, "D G"]:
        """The recurrent weights, gates side by side."""
        return self.weights[...].reshape(self.width, -1)

    def _run(
        self, projected: Float[Array, "B L G"], state: State, mask: Bool[Array, "B L"] | None
    ) -> tuple[Float[Array, "B L D"], State]:
        raise NotImplementedError

    def cost(self, length: int) -> Cost:
        """Two products of [D] with [D, gates * D] a step; as many dependent steps as positions."""
        return Cost(
            flops=length * 4 * self.gates * self.width**2,
            state_bytes=self.states * self.width * 4,
            sequential_depth=length,
        )


class RNN(_Recurrent):
    """The vanilla recurrent network (Elman 1990): ``h_t = f(W x_t + b + U h_{t-1})``.

    Args:
      width: the model width D, also of the hidden state.
      activation: f, tanh or relu.
      rngs: the source of the initial weights.
    """

    gates = 1

    def __init__(self, width: int, activation: Literal["tanh", "relu"] = "tanh", *, rngs: nnx.Rngs):
        super().__init__(width, rngs)
        self.activation: Literal["tanh", "relu"] = activation

    def _run(self, projected, state, mask):
        return recurrence.simple_rnn(projected, self._recurrent, state, mask, self.activation)


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; with forget gate, Gers 2000).

    ``i, f, g, o = split(W x_t + b + U h_{t-1})``,
    ``c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)``, ``h_t = sigmoid(o) tanh(c_t)``.
    The forget gate's bias starts at 1 (Jozefowicz et al. 2015).

    Args:
      width: the model width D, also of the hidden state and of the cell.
      rngs: the source of the initial weights.
    """

    gates = 4
    states = 2

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        super().__init__(width, rngs)
        self.inputs.bias[...] = self.inputs.bias[...].at[1].set(1.0)

    def _run(self, projected, state, mask):
        return recurrence.lstm(projected, self._recurrent, state, mask)


class GRU(_Recurrent):
    """Gated recurrent unit (Cho et al. 2014, in the form with the reset after the product).

    ``r, z = sigmoid(W x_t + b + U h_{t-1})``, ``n = tanh(W_n x_t + b_n + r (U_n h_{t-1} + c_n))``,
    ``h_t = (1 - z) n + z h_{t-1}``.

    Args:
      width: the model width D, also of the hidden state.
      rngs: the source of the initial weights.
    """

    gates = 3

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        super().__init__(width, rngs)
        self.bias = parameter(jnp.zeros((width,)), "D", decays=False)

    def _run(self, projected, state, mask):
        return recurrence.gru(projected, self._recurrent, self.bias[...], state, mask)
