"""Mamba-3: a matrix state with a second-order step and rotations that the input says."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from seqmodels.arrays import Array, Float, State
from seqmodels.errors import require
from seqmodels.layers import Axes, Linear, Norm
from seqmodels.mixers.cache import keep_last, put_before
from seqmodels.mixers.decays import inverse_softplus, log_steps, observe_decay, observe_norms
from seqmodels.mixers.mamba2 import SharedKeys
from seqmodels.mixers.matrix_state import WIDEST_HEAD
from seqmodels.ops.matrix_state import matrix_norms
from seqmodels.ops.positions import sine_and_cosine
from seqmodels.ops.running import previous, running_sum
from seqmodels.parameters import parameter

SLOWEST = 1e-4
"""The least rate of a decay."""
TURN = 2 * math.pi


@dataclass(eq=False, repr=False)
class Mamba3(SharedKeys):
    """Mamba-3 with one input and one output (2603.15569).

    ``S_t = a_t S_{t-1} + b_t k_{t-1} v_{t-1}^T + c_t k_t v_t^T``, ``y_t = S_t^T q_t + D v_t`` with
    ``a_t = exp(A_t dt_t)``, ``c_t = l_t dt_t`` and ``b_t = (1 - l_t) dt_t a_t``: the trapezoidal
    rule where l is 1/2, Mamba-2's where it is 1. All of ``A_t = -softplus(...)``,
    ``dt_t = softplus(... + dt_bias)`` and ``l_t = sigmoid(...)`` are a head's own. Keys and queries
    are RMS-normalised and the same for all heads, each of which adds biases of its own; then half
    of their features are turned in pairs by angles that are summed up: by ``pi tanh(...) dt_t`` a
    position. Outputs are multiplied by ``silu(z_t)`` and projected.

    It has no convolution of its own: the block's short convolution stands before it.
    N is a multiple of 4.
    """

    def _widths(self):
        N = self.state_size
        require(
            4 <= N <= WIDEST_HEAD and N % 4 == 0,
            f"state_size={N} is no multiple of 4 up to {WIDEST_HEAD:,}; half is turned, in pairs",
        )
        return super()._widths()

    def _begin(self, rngs):
        before, heads, N = {"D": self.width}, self.heads, self.state_size
        self.angles = Linear(before, {"N": N // 4}, rngs=rngs)
        # Of each head: the step, the rate, and how much of the step lies at its end.
        self.steps = Linear(before, {"gates": 3, "H": heads}, rngs=rngs)
        bias = inverse_softplus(jnp.exp(log_steps(rngs.params(), (heads,))))
        self.dt_bias = parameter(bias, "H", decays=False)
        self.norms = nnx.List([Norm(N, "rms", "N", rngs=rngs) for _ in range(2)])
        self.query_bias = parameter(jnp.ones((heads, N)), "HN", decays=False)
        self.key_bias = parameter(jnp.ones((heads, N)), "HN", decays=False)
        self.skip = parameter(jnp.ones((heads,)), "H", decays=False)
        values: Axes = {"H": heads, "U": self.value_width}
        self.gates = Linear(before, values, rngs=rngs)
        self.outputs = Linear(values, before, rngs=rngs)

    @property
    def state_letters(self) -> dict[str, Any]:
        """The matrices, the angles, and the key and value before."""
        before = {"key": "B W H N", "value": "B W H U"}
        return super().state_letters | {"angles": "B H N"} | before

    def initial_state(self, batch_size: int, room: int) -> State:
        """Zeros, in float32; any number of positions may follow."""
        N = self.key_width
        shapes = {"angles": (N // 4,), "key": (N,), "value": (self.value_width,)}
        zeros = {
            name: jnp.zeros((batch_size, self.heads, *shape), jnp.float32)
            for name, shape in shapes.items()
        }
        for name in ("key", "value"):
            zeros[name] = zeros[name][:, None]
        return super().initial_state(batch_size, room) | zeros

    def _run(self, x, projected, state, context):
        step, rate, share = jnp.moveaxis(self.steps(x).astype(jnp.float32), 2, 0)  # [B, L, H]
        step = jax.nn.softplus(step + self.dt_bias[...].reshape(1, 1, -1))
        value = projected["values"]
        if context.valid is not None:
            valid = context.valid[:, :, None]
            step = jnp.where(valid, step, 0.0)
            value = jnp.where(valid[..., None], value, jnp.zeros((), value.dtype))
        log_decay = -jnp.maximum(jax.nn.softplus(rate), SLOWEST) * step
        share = jax.nn.sigmoid(share)
        turns = jnp.tanh(self.angles(x).astype(jnp.float32)) * math.pi
        angles = _summed(turns[:, :, None] * step[..., None], state["angles"])
        # Barriers have XLA compute once what several products have: a fifth of a step on CPU.
        sine, cosine = sine_and_cosine(angles)
        query, key = (
            _turned(
                self.norms[number](projected[name])[:, :, None] + bias[...][None, None],
                cosine,
                sine,
            )
            for number, (name, bias) in enumerate(
                (("queries", self.query_bias), ("keys", self.key_bias))
            )
        )
        query, key = query.astype(x.dtype), key.astype(x.dtype)
        # What is written at a position once its output needs it and once at the next one is carried
        # to the next at once: outputs read the state without it, and take it as a product.
        now, before = share * step, (1 - share) * step
        new = {"key": key.astype(jnp.float32), "value": value.astype(jnp.float32)}
        earlier = {
            name: lax.optimization_barrier(previous(each, state[name][:, 0]))
            for name, each in new.items()
        }
        kept = {
            name: keep_last(put_before(state[name], each, 1), 1, context.valid)
            for name, each in new.items()
        }
        observe_decay(lambda: log_decay, context.valid)
        observe_norms(
            lambda: _norms(
                earlier, new, before * jnp.exp(log_decay), now, log_decay, state["matrix"]
            ),
            context.valid,
        )
        before = before + previous(now, jnp.zeros_like(now[:, 0]))
        written = earlier["value"] * (before * jnp.exp(log_decay))[..., None]
        mixed, after = self._carry(
            query,
            earlier["key"].astype(key.dtype),
            written.astype(value.dtype),
            log_decay,
            state,
            context._replace(valid=None),
        )
        matrix = after["matrix"] + jnp.einsum(
            "bh,bhk,bhu->bhku", now[:, -1], new["key"][:, -1], new["value"][:, -1]
        )
        seen = now * jnp.sum(query * key, axis=-1, dtype=jnp.float32)
        seen = seen + self.skip[...].reshape(1, 1, -1)
        mixed = mixed + value * seen[..., None].astype(value.dtype)
        return mixed, kept | {"matrix": matrix, "angles": angles[:, -1]}

    def _finish(
        self, mixed: Float[Array, "B L H U"], x: Float[Array, "B L D"]
    ) -> Float[Array, "B L D"]:
        return self.outputs(mixed * jax.nn.silu(self.gates(x)))


def _norms(
    earlier: dict[str, Float[Array, "B L H _"]],
    new: dict[str, Float[Array, "B L H _"]],
    before: Float[Array, "B L H"],
    now: Float[Array, "B L H"],
    log_decay: Float[Array, "B L H"],
    state: Float[Array, "B H N U"],
) -> Float[Array, "B L H"]:
    """The states' norms, of two writes a position: of the key and value before it, and its own."""
    by_write = zip((earlier["key"], new["key"]), (before, now), strict=True)
    keys = jnp.stack([key * strength[..., None] for key, strength in by_write], axis=2)
    values = jnp.stack([earlier["value"], new["value"]], axis=2)
    logs = jnp.stack([log_decay, jnp.zeros_like(log_decay)], axis=2)
    keys, values, logs = (
        each.reshape(len(each), -1, *each.shape[3:]) for each in (keys, values, logs)
    )
    return matrix_norms(keys, values, logs, state)[:, 1::2]


@jax.custom_vjp
def _summed(
    turns: Float[Array, "B L H N"], start: Float[Array, "B H N"]
) -> Float[Array, "B L H N"]:
    """The angles after each position, from 0 to a whole turn.

    They are summed in 2^-32 of a turn, integers that wrap around: so sums stay exact however long.
    """
    turns, start = (_wrapped(angles) for angles in (turns, start))
    summed = running_sum(turns) + start[:, None]
    return lax.bitcast_convert_type(summed, jnp.uint32).astype(jnp.float32) * (TURN / 2**32)


def _wrapped(angles: Array) -> Array:
    part = angles / TURN
    part = (part - jnp.round(part)) * 2.0**32
    return jnp.clip(part, -(2.0**31), 2.0**31 - 128).astype(jnp.int32)


def _summed_forward(turns, start):
    return _summed(turns, start), None


def _summed_backward(_, gradient):
    later = running_sum(gradient, reverse=True)
    return later, later[:, 0]


_summed.defvjp(_summed_forward, _summed_backward)


def _turned(
    x: Float[Array, "B L H N"], cosine: Float[Array, "B L H n"], sine: Float[Array, "B L H n"]
) -> Float[Array, "B L H N"]:
    """Turns the first pairs of neighbouring features, as many as there are angles; in float32."""
    pairs = x.astype(jnp.float32).reshape(*x.shape[:3], -1, 2)
    count = cosine.shape[-1]
    first, second = pairs[..., :count, 0], pairs[..., :count, 1]
    turned = jnp.stack([first * cosine - second * sine, first * sine + second * cosine], axis=-1)
    turned = jnp.concatenate([turned, pairs[..., count:, :]], axis=-2).reshape(x.shape)
    return lax.optimization_barrier(turned)
