"""State space models with constant diagonal poles: S4D, one a channel, and S5, one for all of them.

``h' = A h + B x``, ``y = Re(C h) + d x`` in continuous time, sampled in steps of a learned length.
Poles come in conjugate pairs; one of each is kept, and 2 Re(C h) is what both would read.
"""

import math
from functools import cache, partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from seqmodels.arrays import Array, Float
from seqmodels.errors import require
from seqmodels.mixers.base import Cost
from seqmodels.mixers.decays import log_steps, observe_decay
from seqmodels.mixers.diagonal import (
    DiagonalMixer,
    Gate,
    GateKind,
    Pair,
    SharedStates,
    require_states,
    scaled,
)
from seqmodels.ops.diagonal_recurrence import FormName
from seqmodels.ops.state_spaces import StateSpaceForm, constant_depth, diagonal_state_space
from seqmodels.parameters import parameter

Sampling = Literal["zoh", "bilinear"]
MOST_POLES = 2**12
"""Of S5, which begins with the eigenvectors of a matrix of so many rows."""
SLOWEST = -1e-4
"""The real part of S5's poles at most: what is above 0 grows without end."""


class S4D(DiagonalMixer):
    """A state space model of N states in each channel (Gu et al. 2022, arXiv:2206.11893).

    Then a :class:`~seqmodels.mixers.diagonal.Gate`. ``A = -exp(A_log) + i A_imaginary`` and B = 1;
    at first, for n = 0 ... N / 2 - 1, A_n = -1/2 + i pi n (S4D-Lin), or
    -1/2 + i N / pi (N / (2n + 1) - 1) (S4D-Inv); steps lie between 0.001 and 0.1. A and the steps
    learn at a tenth of the rate and don't decay.

    Args:
      states: N, of which half are kept; even.
      poles: "linear" is S4D-Lin, "inverse" S4D-Inv.
      sampling: holds each input for a step (zero-order hold), or takes the bilinear transform.
      gate: what stands after it.
    """

    state_letters = ("B N D", "B N D")
    state_settings = ("states",)
    is_complex = True

    def __init__(
        self,
        width: int,
        states: int = 64,
        poles: Literal["linear", "inverse"] = "linear",
        sampling: Sampling = "zoh",
        gate: GateKind = "full",
        form: StateSpaceForm | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        super().__init__(width, form)
        require_states(states, width)
        _require_pairs(states)
        self.sampling: Sampling = sampling
        kept = states // 2
        self.state_shape = (kept, width)
        n = np.arange(kept)
        turns = np.pi * n if poles == "linear" else states / np.pi * (states / (2 * n + 1) - 1)
        slow = partial(parameter, decays=False, rate=0.1)
        steps = log_steps(rngs.params(), (width,))
        self.log_step = slow(steps, "D")
        self.A_log = slow(jnp.full((width, kept), math.log(0.5)), "DN")
        turns = jnp.broadcast_to(jnp.asarray(turns, jnp.float32)[None], (width, kept))
        self.A_imaginary = slow(turns, "DN")
        C = jax.random.normal(rngs.params(), (width, kept, 2)) * math.sqrt(0.5)
        self.C = parameter(C, ("D", "N", "parts"), decays=True)
        self.skip = parameter(jax.random.normal(rngs.params(), (width,)), "D", decays=False)
        self.gate = Gate(width, gate, rngs=rngs)

    def _run(self, x, state, valid):
        poles = lax.complex(-jnp.exp(self.A_log[...]), self.A_imaginary[...])
        decay, gain = sample(poles, jnp.exp(self.log_step[...])[:, None], self.sampling)
        C = self.C[...]
        observe_decay(lambda: jnp.log(jnp.abs(decay.T))[None, None, None], valid)
        read = 2 * gain * lax.complex(C[..., 0], C[..., 1])
        y, state = diagonal_state_space(_pair(decay.T), _pair(read.T), x, state, valid, self.form)
        return self.gate(y + scaled(x, self.skip[...])), state

    def cost(self, length: int) -> Cost:
        """The gate; of each state a complex multiply-add, which is four, and two to read it."""
        kept, width = self.state_shape
        flops = length * (2 * 6 * kept * width + self.gate.flops)
        return Cost(flops, self.state_bytes(length), constant_depth(length, self.form))


class S5(SharedStates):
    """One state space model of N states for all channels (Smith et al. 2023, arXiv:2208.04933).

    Then a :class:`~seqmodels.mixers.diagonal.Gate`. At first its poles are the eigenvalues of
    HiPPO-LegS' normal part, B and C are drawn and turned into its eigenvectors, and each pole's
    step lies between 0.001 and 0.1. Poles, steps and B learn at a quarter of the rate and don't
    decay. Real parts of poles stay below -0.0001.

    Args:
      states: N, of which half are kept; None for D.
      blocks: of how many smaller such matrices, side by side, the poles are.
      sampling: holds each input for a step (zero-order hold), or takes the bilinear transform.
      gate: what stands after it.
    """

    read = 2

    def __init__(
        self,
        width: int,
        states: int | None = None,
        blocks: int = 1,
        sampling: Sampling = "zoh",
        gate: GateKind = "half",
        form: FormName | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        super().__init__(width, states, form)
        states = self.states
        require(
            states <= MOST_POLES,
            f"states={states} is above {MOST_POLES:,}, of which eigenvectors are found; lower it",
        )
        require(
            blocks >= 1 and states % blocks == 0,
            f"blocks={blocks} does not divide states={states}; it cuts them into equal parts",
        )
        _require_pairs(states // blocks, f" in each of blocks={blocks}" if blocks > 1 else "")
        self.sampling: Sampling = sampling
        self.state_shape = (states // 2,)
        poles, vectors = normal_hippo(states // blocks)
        poles = np.tile(np.stack([np.real(poles), np.imag(poles)], axis=-1), (blocks, 1))
        vectors = np.kron(np.eye(blocks), vectors)  # [N, N / 2]
        slow = partial(parameter, decays=False, rate=0.25)
        self.poles = slow(jnp.asarray(poles, jnp.float32), ("N", "parts"))
        steps = log_steps(rngs.params(), (states // 2,))
        self.log_step = slow(steps, "N")
        draw = nnx.initializers.truncated_normal(states**-0.5 / 0.87962566)
        turn = jnp.asarray(np.stack([np.real(vectors), np.imag(vectors)]), jnp.float32)
        B = draw(rngs.params(), (width, states))
        B = jnp.stack([B @ turn[0], -(B @ turn[1])], axis=-1)
        self.B = slow(B, ("D", "N", "parts"))
        C = draw(rngs.params(), (2, width, states))
        C = jnp.stack([C[0] @ turn[0] - C[1] @ turn[1], C[0] @ turn[1] + C[1] @ turn[0]], axis=-1)
        self.C = parameter(jnp.swapaxes(C, 0, 1), ("N", "D", "parts"), decays=True)
        self.skip = parameter(jax.random.normal(rngs.params(), (width,)), "D", decays=False)
        self.gate = Gate(width, gate, rngs=rngs)

    def _transition(self):
        real, imaginary = jnp.unstack(self.poles[...], axis=-1)
        poles = lax.complex(jnp.minimum(real, SLOWEST), imaginary)
        decay, gain = sample(poles, jnp.exp(self.log_step[...]), self.sampling)
        B = gain[None] * lax.complex(self.B[..., 0], self.B[..., 1])
        return jnp.log(jnp.abs(decay)), _pair(decay), jnp.stack(_pair(B), axis=-1)


def sample(poles: Array, step: Float[Array, "..."], sampling: Sampling) -> tuple[Array, Array]:
    """By what a step multiplies each state, and by what an input comes into it; both complex.

    Zero-order hold: ``exp(A s)`` and ``(exp(A s) - 1) / A``. Bilinear: ``(1 + A s / 2) /
    (1 - A s / 2)`` and ``s / (1 - A s / 2)``.
    """
    if sampling == "zoh":
        return jnp.exp(poles * step), jnp.expm1(poles * step) / poles
    half = poles * step / 2
    return (1 + half) / (1 - half), step / (1 - half)


@cache
def normal_hippo(states: int) -> tuple[np.ndarray, np.ndarray]:
    """Half of the eigenvalues [N / 2] of HiPPO-LegS' normal part, and their vectors [N, N / 2].

    That part is the matrix plus ``p p^T`` with ``p_n = sqrt(n + 1/2)`` (Gu et al. 2022): -1/2 on
    the diagonal, antisymmetric beside it. Of each conjugate pair the lower one is taken.
    """
    p = np.sqrt(np.arange(states) + 0.5)
    beside = np.outer(p, p)
    beside = np.triu(beside, 1) - np.tril(beside, -1)
    turns, vectors = np.linalg.eigh(-1j * beside)
    return -0.5 + 1j * turns[: states // 2], vectors[:, : states // 2]


def _pair(numbers: Array) -> Pair:
    return numbers.real, numbers.imag


def _require_pairs(states: int, where: str = "") -> None:
    require(
        states % 2 == 0,
        f"states={states}{where} is odd; poles come in conjugate pairs, so it takes an even number",
    )
