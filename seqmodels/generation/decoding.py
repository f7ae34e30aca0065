"""Writing token by token: greedily, at random, or by beam search.

Each new token goes through ``extend`` by itself, so it costs what the mixers' state costs, and
not the whole sequence again.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from seqmodels.arrays import AnyArray, Array, Bool, Float, Int, Key, Params, State
from seqmodels.errors import require, require_least
from seqmodels.model import Model
from seqmodels.tasks.base import Batch, TaskSpec


class Sampling(NamedTuple):
    """How tokens are chosen from scores: each by itself, or the best sequence of several beams."""

    temperature: float = 0.0
    """What the scores are divided by; 0 takes the best token each time."""
    top_k: int | None = None
    """How many of the best tokens may be drawn; None is all of them."""
    top_p: float | None = None
    """The share of probability that the tokens which may be drawn must hold, as few of the best
    as do (nucleus sampling, Holtzman et al. 2020); None is all of them."""
    beams: int | None = None
    """How many sequences a beam search keeps; None to take or draw token by token."""

    def check(self) -> "Sampling":
        """Raises ParameterError for settings that can't be used, or that nothing would read."""
        require_least(1, beams=self.beams, top_k=self.top_k)
        require(
            self.beams is None or self == Sampling(beams=self.beams),
            f"beams={self.beams} takes the best sequence, and nothing is drawn: leave out "
            "temperature, top_k and top_p",
        )
        require(math.isfinite(self.temperature), f"temperature={self.temperature} is not finite")
        require_least(0, temperature=self.temperature)
        require(
            not 0 < self.temperature < 1e-30,
            f"temperature={self.temperature} is neither 0, which takes the best token, nor 1e-30 "
            "or more",
        )
        require(
            self.top_p is None or 0 < self.top_p <= 1,
            f"top_p={self.top_p} is not above 0 and at most 1",
        )
        for name in ("top_k", "top_p"):
            require(
                self.temperature > 0 or getattr(self, name) is None,
                f"{name}={getattr(self, name)} is never read with temperature=0, which takes the "
                "best token; leave it None or raise the temperature",
            )
        return self


def generate(
    model: Model,
    params: Params,
    prompt: Int[Array, "B L"],
    count: int,
    sampling: Sampling,
    key: Key[Array, ""],
) -> Int[Array, "B M"]:
    """Writes ``count`` tokens after each prompt of one or more by a model that scores the next."""
    state = model.start(params, prompt.shape[0], prompt.shape[1] + count)
    return decode(model, params, state, prompt, count, sampling, key)


def answer(
    model: Model,
    params: Params,
    batch: Batch,
    spec: TaskSpec,
    count: int,
    sampling: Sampling,
    key: Key[Array, ""],
) -> Int[Array, "B M"]:
    """Writes for a batch's inputs, by a model that writes: ``count`` tokens, or up to the end."""
    state, first = begin(model, params, batch, spec, count)
    return decode(model, params, state, first, count, sampling, key, spec.end)


def decode(
    model: Model,
    params: Params,
    state: State,
    first: Int[AnyArray, "B L"],
    count: int,
    sampling: Sampling,
    key: Key[Array, ""],
    end: int | None = None,
    valid: Bool[AnyArray, "B L"] | None = None,
) -> Int[Array, "B M"]:
    """Writes ``count`` tokens after ``first``, a prompt or the begin token, has been read.

    The state has room for all that is read and written. The ``end`` token fills the rest of a row
    that it ends; without one every row has ``count`` tokens. Where ``first`` is not ``valid``,
    which may be so at the end of a row, it is padding.
    """
    if (beams := sampling.check().beams) is not None:
        found = beam_search(model, params, state, first, count, beams, end=end, valid=valid)
        return found.tokens[:, 0]
    require_least(1, count=count)
    return _decode(model.extend, count, sampling, end, params, state, first, key, valid)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _decode(extend, count, sampling, end, params, state, first, key, valid):
    keys = jax.random.split(key, count)
    scores, state = _read(extend, params, first, state, valid)
    token = sample(scores[:, -1], sampling, keys[0])
    tokens = jnp.full((token.shape[0], count), 0 if end is None else end, jnp.int32)
    tokens = tokens.at[:, 0].set(token)

    def unfinished(carry):
        index, _, _, _, over = carry
        return (index < count) & ~over.all()

    def step(carry):
        index, token, state, tokens, over = carry
        scores, state = extend(params, token[:, None], state)
        token = sample(scores[:, -1], sampling, keys[index])
        if end is not None:
            token = jnp.where(over, end, token)
        tokens = jax.lax.dynamic_update_slice(tokens, token[:, None], (0, index))
        return index + 1, token, state, tokens, over | _ends(token, end)

    carry = (jnp.int32(1), token, state, tokens, _ends(token, end))
    return jax.lax.while_loop(unfinished, step, carry)[3]


def sample(scores: Float[Array, "B V"], sampling: Sampling, key: Key[Array, ""]) -> Int[Array, "B"]:
    """One token a row, whatever ``sampling`` says of beams."""
    scores = scores.astype(jnp.float32)
    if sampling.temperature == 0:
        return jnp.argmax(scores, axis=-1).astype(jnp.int32)
    scores -= jnp.max(scores, axis=-1, keepdims=True)  # or a small temperature makes them infinite
    scores = allowed_scores(scores / sampling.temperature, sampling.top_k, sampling.top_p)
    return jax.random.categorical(key, scores, axis=-1).astype(jnp.int32)


def allowed_scores(
    scores: Float[Array, "B V"], top_k: int | None, top_p: float | None
) -> Float[Array, "B V"]:
    """Scores with -inf in place of those that may not be drawn: first by top_k, then by top_p.

    Of equal scores the first is the better one, so that there are exactly ``top_k``, and no more
    than it takes to hold ``top_p``.
    """
    if top_k is None and top_p is None:
        return scores
    V = scores.shape[-1]
    order = jnp.argsort(-scores, axis=-1)  # stable
    place = jnp.arange(V)[None]
    kept = jnp.broadcast_to(place < min(top_k or V, V), scores.shape)  # best first
    if top_p is not None and top_p < 1:
        ranked = jnp.take_along_axis(scores, order, axis=-1)
        shares = jax.nn.softmax(jnp.where(kept, ranked, -jnp.inf), axis=-1)
        before = jnp.cumsum(shares, axis=-1) - shares  # held by the better ones
        # Sums of float32 are wrong by so much: of ten alike a share of 0.3 is three.
        kept &= (before < top_p - 1e-6) | (place == 0)
    kept = jnp.take_along_axis(kept, jnp.argsort(order, axis=-1), axis=-1)
    return jnp.where(kept, scores, -jnp.inf)


class Beams(NamedTuple):
    """The best sequences of each row, best first."""

    tokens: Int[Array, "B beams M"]
    scores: Float[Array, "B beams"]
    """Log-probability over length penalty; -inf where there are fewer sequences than beams."""


def beam_search(
    model: Model,
    params: Params,
    state: State,
    first: Int[AnyArray, "B L"],
    count: int,
    beams: int,
    length_penalty: float = 1.0,
    end: int | None = None,
    valid: Bool[AnyArray, "B L"] | None = None,
) -> Beams:
    """Searches for likely sequences of up to ``count`` tokens, several at a time.

    After each token the ``beams`` best of all continuations stay, by log p / penalty
    with penalty = ((5 + n) / 6)^length_penalty for n tokens, the end token included (Wu et al.
    2016). An exponent of 0 compares log-probabilities, and favours short sequences. A sequence that
    has ended stays as it is as long as it is among them. All else is as in :func:`decode`.
    """
    require_least(1, count=count, beams=beams)
    require(
        0 <= length_penalty < math.inf,
        f"length_penalty={length_penalty} is not at least 0 and finite",
    )
    return _beam_search(
        model.extend, count, beams, length_penalty, end, params, state, first, valid
    )


@partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _beam_search(extend, count, beams, length_penalty, end, params, state, first, valid):
    rows = first.shape[0]
    scores, state = _read(extend, params, first, state, valid)
    V = scores.shape[-1]
    state = jax.tree.map(lambda x: jnp.repeat(x, beams, axis=0), state)

    def choose(index, scores, tokens, log_p, lengths, over):
        """The best continuations of all beams, and the beam that each continues."""
        log_next = jax.nn.log_softmax(scores.astype(jnp.float32), axis=-1)
        if end is not None:  # a sequence that is over has one continuation: itself
            stays = jnp.where(jnp.arange(V) == end, 0.0, -jnp.inf)
            log_next = jnp.where(over[:, :, None], stays[None, None], log_next)
        total = log_p[:, :, None] + log_next  # [B, beams, V]
        long = jnp.where(over, lengths, index + 1)
        penalty = ((5 + long.astype(jnp.float32)) / 6) ** length_penalty
        ranked = (total / penalty[:, :, None]).reshape(rows, beams * V)
        _, best = jax.lax.top_k(ranked, beams)
        parent, token = best // V, (best % V).astype(jnp.int32)
        long, over = (jnp.take_along_axis(x, parent, axis=1) for x in (long, over))
        tokens = jnp.take_along_axis(tokens, parent[:, :, None], axis=1)
        tokens = jax.lax.dynamic_update_slice(tokens, token[:, :, None], (0, 0, index))
        log_p = jnp.take_along_axis(total.reshape(rows, beams * V), best, axis=1)
        return parent, tokens, log_p, long, over | _ends(token, end)

    def unfinished(carry):
        index, (_, _, _, _, over), _ = carry
        return (index < count) & ~over.all()

    def step(carry):
        index, (_, tokens, log_p, lengths, over), state = carry
        last = jax.lax.dynamic_slice_in_dim(tokens, index - 1, 1, axis=2)
        scores, state = extend(params, last.reshape(rows * beams, 1), state)
        scores = scores[:, -1].reshape(rows, beams, V)
        chosen = choose(index, scores, tokens, log_p, lengths, over)
        place = (jnp.arange(rows)[:, None] * beams + chosen[0]).reshape(-1)
        return index + 1, chosen, jax.tree.map(lambda x: x[place], state)

    # Before the first token all beams are the same: one stands for them.
    chosen = choose(
        jnp.int32(0),
        jnp.broadcast_to(scores[:, -1:], (rows, beams, V)),
        jnp.full((rows, beams, count), 0 if end is None else end, jnp.int32),
        jnp.where(jnp.arange(beams)[None] == 0, 0.0, -jnp.inf) + jnp.zeros((rows, 1)),
        jnp.zeros((rows, beams), jnp.int32),
        jnp.zeros((rows, beams), bool),
    )
    _, (_, tokens, log_p, lengths, _), _ = jax.lax.while_loop(
        unfinished, step, (jnp.int32(1), chosen, state)
    )
    penalty = ((5 + lengths.astype(jnp.float32)) / 6) ** length_penalty
    return Beams(tokens, log_p / penalty)


def begin(
    model: Model, params: Params, batch: Batch, spec: TaskSpec, count: int
) -> tuple[State, Int[Array, "B 1"]]:
    """The state and the begin token from which a model writes for a batch's inputs."""
    token = jnp.full((batch.inputs.shape[0], 1), spec.outputs, jnp.int32)
    return _start(model.start, count, params, batch), token


@partial(jax.jit, static_argnums=(0, 1))
def _start(start, count, params, batch):
    return start(params, batch, count)


def _read(extend, params, first, state, valid):
    """The scores [B, 1, V] after what is read before the first token is written."""
    rows, length = first.shape
    last = jnp.full((rows,), length) if valid is None else jnp.sum(jnp.asarray(valid), axis=1)
    return extend(params, first, state, valid, scored=last[:, None] - 1)


def _ends(token: Int[Array, "*B"], end: int | None) -> Bool[Array, "*B"]:
    return jnp.zeros(token.shape, bool) if end is None else token == end
