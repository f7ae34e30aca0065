"""Recurrent networks for all positions at once, by Newton's method (DEER, Lim et al. 2024).

    s_t = f(s_{t-1}, x_t)        t = 1 ... L

is one equation in all states. Linearised at a guess of them it is a linear recurrence,

    s_t = J_t s_{t-1} + (f(g_{t-1}, x_t) - J_t g_{t-1}),

which an associative scan solves in log L steps; its solution is the next guess. The Jacobian J_t is
whole ("newton", for few states), or its diagonal alone ("quasi"). With "damped" the next guess is
that of a Levenberg-Marquardt step with the diagonal (quasi-ELK; both are of Gonzalez et al. 2024):
the means of a Kalman filter that takes the recurrence for its dynamics and the guess for what is
observed, which stay near the guess where the recurrence would run away. All have the states of the
sequential form as their fixed point; but for the damped form's the first k are exact after k
rounds. All rows iterate together until none moves any more; where the bound on rounds is reached
first, the sequential form computes them.

The gradient is a reversed linear recurrence at the solution, and nothing is kept of the rounds:
with whole Jacobians by another associative scan, otherwise by that of the sequential form.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Float, Int
from seqmodels.ops.cells import Cell

Linearisation = Literal["newton", "quasi", "damped"]
MOST_STATES = 32
"""Numbers of state for which Jacobians are whole: each position has the square of them."""
MOST_ROUNDS = 32
NEAR = 2e-6
"""How far a state may still move, against the greatest of them, in the last round."""
TRUST = 100.0
"""The variance of a guess as an observation, where the recurrence's own noise has a variance of 1:
1 / lambda in the paper."""
Problem = tuple[Cell, Array, Array, Array | None, tuple[Array, ...], Array | None]
"""As :data:`~seqmodels.ops.recurrence.RECURRENCE` takes them: cell, inputs, weights, bias, states,
mask."""


def depth(length: int) -> int:
    """Steps that follow one another in all rounds: a scan up and down a tree in each."""
    return MOST_ROUNDS * (1 + 2 * max(1, (length - 1).bit_length()))


def refusal(
    cell: Cell, inputs: Array, weights: Array, bias: Array | None, states, *_
) -> str | None:
    """Why whole Jacobians can't serve, or None where they can."""
    numbers = sum(state.shape[1] for state in states)
    if numbers <= MOST_STATES:
        return None
    return (
        f"{numbers} numbers of state have Jacobians of {numbers**2:,}, and it takes {MOST_STATES}"
    )


def solve(problem: Problem, kind: Linearisation) -> tuple[Float[Array, "B L N"], Int[Array, ""]]:
    """All states after each position, side by side, and the rounds that they took."""
    start, length = _joined(problem[4]), problem[1].shape[1]

    def moves(carry):
        _, rounds, moved = carry
        return (rounds < MOST_ROUNDS) & moved

    def improve(carry):
        guess, rounds, _ = carry
        better = improved(problem, guess, kind)
        finite = jnp.isfinite(better)
        better = jnp.where(finite, better, 0.0)  # what overflows is no guess to go on from
        far = jnp.max(jnp.abs(better - guess)) > NEAR * jnp.maximum(1.0, jnp.max(jnp.abs(better)))
        return better, rounds + 1, far | ~jnp.all(finite)

    first = jnp.broadcast_to(start[:, None], (len(start), length, start.shape[1]))
    begin = (first, jnp.zeros((), jnp.int32), jnp.array(True))
    states, rounds, moved = lax.while_loop(moves, improve, begin)
    settled = partial(step, problem, previous(states, start))
    return lax.cond(moved, partial(sequential, problem), settled), rounds


def improved(
    problem: Problem, guess: Float[Array, "B L N"], kind: Linearisation
) -> Float[Array, "B L N"]:
    """A round: the next guess of all states."""
    start = _joined(problem[4])
    before = previous(guess, start)
    made, jacobian = _linearised(problem, before, kind)
    rest = made - _times(jacobian, before)
    rest = rest.at[:, 0].add(_times(jacobian[:, 0], start))
    return _filtered(jacobian, rest, guess) if kind == "damped" else _scan(jacobian, rest)


def sequential(problem: Problem) -> Float[Array, "B L N"]:
    """All states, one after the other."""
    cell, inputs, weights, bias, states, mask = problem
    weights = weights.astype(jnp.float32)

    def each(states, row):
        x, valid = row
        new, _ = cell.forward(x.astype(jnp.float32), states[0] @ weights, bias, states)
        new = tuple(jnp.where(valid[:, None], a, b) for a, b in zip(new, states, strict=True))
        return new, _joined(new)

    valid = jnp.ones(inputs.shape[:2], bool) if mask is None else mask
    made = lax.scan(each, states, (inputs.swapaxes(0, 1), valid.T))[1]
    return made.swapaxes(0, 1)


def step(problem: Problem, before: Float[Array, "B L N"]) -> Float[Array, "B L N"]:
    """The states after each position, of those before it."""
    return _step(problem, before, None)[0]


def kept_rows(problem: Problem, made: Float[Array, "B L N"]) -> tuple[Array, ...]:
    """What the sequential form's backward pass reads of each position."""
    cell, inputs, weights, bias, states, _ = problem
    before = previous(made, _joined(states))
    rows = split(before.reshape(-1, before.shape[2]), len(states))
    flat = inputs.reshape(-1, inputs.shape[2]).astype(jnp.float32)
    _, kept = cell.forward(flat, rows[0] @ weights, bias, rows)
    return tuple(row.reshape(*inputs.shape[:2], -1).astype(inputs.dtype) for row in kept)


def gradients(problem: Problem, made: Array, d_outputs: Array, d_last: tuple[Array, ...]):
    """Those of the inputs, weights, bias and first states, by ``a_t = d_t + J_{t+1}^T a_{t+1}``."""
    cell, inputs, weights, bias, states, mask = problem
    start = _joined(states)
    before = previous(made, start)
    edges = ((0, 0), (0, 0), (0, made.shape[2] - weights.shape[0]))
    direct = jnp.pad(d_outputs.astype(jnp.float32), edges).at[:, -1].add(_joined(d_last))
    _, jacobian = _linearised(problem, before, "newton")
    later = jnp.pad(jacobian[:, 1:], ((0, 0), (0, 1), (0, 0), (0, 0))).swapaxes(2, 3)
    adjoint = jnp.flip(_scan(jnp.flip(later, 1), jnp.flip(direct, 1)), 1)

    def whole(inputs, weights, bias, before):
        return step((cell, inputs, weights, bias, states, mask), before)

    d_inputs, d_weights, d_bias, d_before = jax.vjp(whole, inputs, weights, bias, before)[1](
        adjoint
    )
    return d_inputs, d_weights, d_bias, split(d_before[:, 0], len(states)), None


def previous(states: Float[Array, "B L N"], start: Float[Array, "B N"]) -> Float[Array, "B L N"]:
    """The states before each position."""
    return jnp.concatenate([start[:, None], states[:, :-1]], axis=1)


def _joined(states):
    return jnp.concatenate([state.astype(jnp.float32) for state in states], axis=-1)


def split(joined: Array, count: int) -> tuple[Array, ...]:
    """The states that lie side by side."""
    return tuple(jnp.split(joined, count, axis=-1))


def _step(problem, before, product):
    """One step from every position, as a function of the states and of the product."""
    cell, inputs, weights, bias, states, mask = problem
    rows = split(before.reshape(-1, before.shape[2]), len(states))
    flat = inputs.reshape(-1, inputs.shape[2]).astype(jnp.float32)
    product = rows[0] @ weights.astype(jnp.float32) if product is None else product
    made = _joined(cell.forward(flat, product, bias, rows)[0]).reshape(before.shape)
    return (made if mask is None else jnp.where(mask[:, :, None], made, before)), product


def _linearised(problem, before, kind):
    """The states after each position, and their Jacobians: [B, L, N, N], or diagonals [B, L, N]."""
    weights, states = problem[2], problem[4]
    weights, count, N = weights.astype(jnp.float32), len(states), before.shape[2]
    width = N // count
    if kind == "newton":
        made, along = jax.linearize(partial(step, problem), before)
        basis = jnp.broadcast_to(jnp.eye(N)[:, None, None], (N, *before.shape))
        return made, jnp.moveaxis(jax.vmap(along)(basis), 0, -1)
    made, product = _step(problem, before, None)
    # A cell works feature by feature but for the product, of which the diagonals stay.
    gates = weights.shape[1] // width
    own = weights.reshape(width, gates, width)[jnp.arange(width), :, jnp.arange(width)]
    own = jnp.broadcast_to(own.T.reshape(1, -1), product.shape)
    parts = []

    def of_both(states, product):
        return _step(problem, states, product)[0]

    for index in range(count):
        unit = jnp.zeros_like(before).at[..., index * width : (index + 1) * width].set(1.0)
        moved = own if index == 0 else jnp.zeros_like(own)
        slope = jax.jvp(of_both, (before, product), (unit, moved))[1]
        parts.append(slope[..., index * width : (index + 1) * width])
    return made, jnp.concatenate(parts, axis=-1)


def _times(jacobian, states):
    if jacobian.ndim == states.ndim:
        return jacobian * states
    return jnp.einsum("...ij,...j->...i", jacobian, states)


def _scan(jacobian, rest):
    """The solution of ``s_t = J_t s_{t-1} + r_t`` from zeros."""

    def join(early, late):
        (a, b), (c, d) = early, late
        product = c * a if a.ndim == b.ndim else jnp.einsum("...ij,...jk->...ik", c, a)
        return product, _times(c, b) + d

    return lax.associative_scan(join, (jacobian, rest), axis=1)[1]


def _filtered(slope, rest, guess):
    """Means of each state by itself, given the guesses up to it, from a state of 0.

    ``s_t = J_t s_{t-1} + r_t`` with noise of variance 1, and ``g_t = s_t`` with TRUST. An element
    of the scan is some steps: by the state s before them the one after them is normal, with mean
    ``a s + b`` and variance c; of s their guesses say what an observation of e / i with a variance
    of 1 / i would (Sarkka and Garcia-Fernandez 2021, for one dimension).
    """
    gain = 1 / (1 + TRUST)
    off = gain * (guess - rest)

    def join(early, late):
        (a, b, c, e, i), (a2, b2, c2, e2, i2) = early, late
        share = 1 / (1 + c * i2)
        after = a2 * a * share, a2 * share * (b + c * e2) + b2, a2 * a2 * share * c + c2
        return *after, a * share * (e2 - i2 * b) + e, a * a * share * i2 + i

    steps = ((1 - gain) * slope, rest + off, jnp.full_like(slope, 1 - gain))
    said = (slope * off, slope * slope * gain)
    return lax.associative_scan(join, (*steps, *said), axis=1)[1]
