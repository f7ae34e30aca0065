"""Decoding against recomputation from scratch and against searches of everything."""

import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.decoding import Sampling, allowed_scores, beam_search, begin, decode, sample
from seqmodels.errors import ParameterError
from seqmodels.model import Model, build_model
from seqmodels.tasks.base import Batch, TaskSpec

END = 3
SPEC = TaskSpec("sequence-to-sequence", "tokens", 5, 4, False, "exact_match", True, end=END)
LANGUAGE = TaskSpec("many-to-many", "tokens", 4, 4, True, "accuracy", True)
GRU = {"depth": 1, "pattern": ("gru",), "mixers": {"gru": {"kind": "gru"}}}
ATTENTION = {
    "depth": 2,
    "pattern": ("global", "local"),
    "mixers": {
        "global": {"kind": "attention", "heads": 2},
        "local": {"kind": "attention", "heads": 2, "window": 3},
    },
}
CONVOLUTION = {
    "depth": 2,
    "pattern": ("conv", "local"),
    "mixers": {
        "conv": {"kind": "convolution", "kernel": 3},
        "local": {"kind": "local_attention", "kernel": 3, "heads": 2},
    },
}
DECODERS = {"gru": GRU, "attention": ATTENTION, "convolution": CONVOLUTION}


def writer(decoder: dict, cross: bool, seed: int = 0) -> tuple[Model, dict]:
    """An encoder-decoder with weights large enough that tokens differ."""
    way = {"cross": "scaled_dot", "cross_heads": 2} if cross else {"pooling": "mean"}
    section = {"width": 8, "encoder": GRU, "decoder": decoder} | way
    model = build_model(section, SPEC)
    random = np.random.default_rng(seed)
    noisy = lambda p: 3 * p + random.normal(size=p.shape).astype(np.float32)  # noqa: E731
    return model, jax.tree.map(noisy, model.init(jax.random.key(seed)))


def sources(rows: int = 4) -> Batch:
    """Sources of different lengths; the targets only give a shape."""
    random = np.random.default_rng(1)
    mask = np.arange(6)[None] < random.integers(1, 7, rows)[:, None]
    inputs = np.where(mask, random.integers(0, 5, (rows, 6)), 0).astype(np.int32)
    return Batch(inputs, np.zeros((rows, 8), np.int32), np.ones((rows, 8), np.float32), mask)


def written_from_scratch(model, params, batch: Batch, count: int) -> np.ndarray:
    """The best next token after all tokens so far, each time by the whole model."""
    apply = jax.jit(model.apply)
    tokens = np.full((len(batch.inputs), count), END, np.int32)
    over = np.zeros(len(tokens), bool)
    for index in range(count):
        scores = apply(params, batch._replace(targets=tokens))
        best = np.asarray(scores)[:, index].argmax(-1)
        tokens[:, index] = np.where(over, END, best)
        over |= tokens[:, index] == END
    return tokens


@pytest.mark.slow
@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("decoder", DECODERS)
def test_written_tokens_equal_recomputation_from_scratch(decoder, cross):
    model, params = writer(DECODERS[decoder], cross, seed=2)
    batch = sources(rows=12)._replace(targets=np.zeros((12, 8), np.int32))
    expected = written_from_scratch(model, params, batch, 8)
    state, first = begin(model, params, batch, SPEC, 8)
    tokens = decode(model, params, state, first, 8, Sampling(), jax.random.key(0), END)
    np.testing.assert_array_equal(tokens, expected)
    assert len(np.unique(expected)) > 1


def test_a_row_stops_at_its_end_whatever_the_others_do():
    model, params = writer(GRU, cross=False)
    batch = sources(rows=40)
    sampling, key = Sampling(temperature=1.0), jax.random.key(0)
    state, first = begin(model, params, batch, SPEC, 12)
    tokens = np.asarray(decode(model, params, state, first, 12, sampling, key, END))
    ends = [row.tolist().index(END) if END in row else 12 for row in tokens]
    assert len(set(ends)) > 3
    for row, stop in zip(tokens, ends, strict=True):
        assert (row[stop:] == END).all()
    greedy = [
        np.asarray(
            decode(model, params, *begin(model, params, part, SPEC, 12), 12, Sampling(), key, END)
        )
        for part in (batch, jax.tree.map(lambda x: x[7:8], batch))
    ]
    np.testing.assert_array_equal(greedy[1][0], greedy[0][7])


SCORES = np.log(np.array([[0.5, 0.25, 0.15, 0.1], [0.1, 0.2, 0.3, 0.4]], np.float32))


@pytest.mark.parametrize(
    ("top_k", "top_p", "allowed"),
    [
        (None, None, [[0, 1, 2, 3], [0, 1, 2, 3]]),
        (1, None, [[0], [3]]),
        (2, None, [[0, 1], [2, 3]]),
        (9, None, [[0, 1, 2, 3], [0, 1, 2, 3]]),
        (None, 0.4, [[0], [3]]),
        (None, 0.6, [[0, 1], [2, 3]]),
        (None, 0.85, [[0, 1, 2], [1, 2, 3]]),
        (3, 0.7, [[0, 1], [2, 3]]),  # of the three best alone: 0.56 + 0.28, 0.44 + 0.33
    ],
)
def test_only_the_best_may_be_drawn(top_k, top_p, allowed):
    kept = np.isfinite(allowed_scores(jnp.asarray(SCORES), top_k, top_p))
    assert [np.nonzero(row)[0].tolist() for row in kept] == allowed


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_by_their_probabilities(temperature):
    rows = jnp.tile(jnp.asarray(SCORES[:1]), (20_000, 1))
    tokens = np.asarray(sample(rows, Sampling(temperature, top_k=3), jax.random.key(0)))
    odds = np.exp(SCORES[0, :3] / temperature)
    shares = np.bincount(tokens, minlength=4) / len(tokens)
    np.testing.assert_allclose(shares[:3], odds / odds.sum(), atol=0.012)  # 3 deviations
    assert shares[3] == 0


def test_each_token_is_drawn_anew():
    """Of four equally likely tokens two that follow one another agree in a fourth of the cases."""
    model = build_model({"width": 8} | GRU, LANGUAGE)
    params = jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0)))
    state, first = model.initial_state(100, 9), np.zeros((100, 1), np.int32)
    tokens = decode(model, params, state, first, 8, Sampling(1.0), jax.random.key(0))
    assert 0.17 < np.mean(tokens[:, 1:] == tokens[:, :-1]) < 0.33  # 5 deviations


def test_one_best_token_is_greedy():
    key = jax.random.key(0)
    greedy = sample(jnp.asarray(SCORES), Sampling(), key)
    np.testing.assert_array_equal(greedy, [0, 3])
    np.testing.assert_array_equal(sample(jnp.asarray(SCORES), Sampling(1.0, top_k=1), key), greedy)


def log_probability(model, params, batch: Batch, tokens: list[int]) -> float:
    """Of a sequence, by one call of the whole model for one source."""
    padded = np.array([tokens + [END] * (5 - len(tokens))], np.int32)
    scores = np.asarray(_apply(model)(params, batch._replace(targets=padded)), np.float64)[0]
    log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    return sum(log_p[place, token] for place, token in enumerate(tokens))


def _apply(model):
    return _APPLIED.setdefault(id(model), jax.jit(model.apply))


_APPLIED: dict = {}


def all_sequences(count: int) -> list[list[int]]:
    """All that end within ``count`` tokens, and all of that many that have not ended."""
    ended = [
        [*tokens, END]
        for length in range(count)
        for tokens in itertools.product(range(END), repeat=length)
    ]
    return ended + [list(tokens) for tokens in itertools.product(range(END), repeat=count)]


@pytest.mark.slow
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_beam_search_finds_the_best_of_all_sequences(seed, length_penalty):
    model, params = writer(GRU, cross=True, seed=seed)
    count = 3
    for row in range(2):
        batch = jax.tree.map(lambda x, row=row: x[row : row + 1], sources())
        batch = batch._replace(targets=batch.targets[:, :5], weights=batch.weights[:, :5])
        every = {
            tuple(tokens): log_probability(model, params, batch, tokens)
            / ((5 + len(tokens)) / 6) ** length_penalty
            for tokens in all_sequences(count)
        }
        best = sorted(every, key=every.__getitem__, reverse=True)
        state, first = begin(model, params, batch, SPEC, count)
        search = partial(
            beam_search, model, params, state, first, count, length_penalty=length_penalty, end=END
        )
        found = search(beams=len(every))
        for place in range(6):
            padded = list(best[place]) + [END] * (count - len(best[place]))
            assert found.tokens[0, place].tolist() == padded
            assert float(found.scores[0, place]) == pytest.approx(every[best[place]], abs=1e-4)
        for beams in (1, 2, 3):
            assert float(search(beams=beams).scores[0, 0]) <= every[best[0]] + 1e-4


def test_one_beam_is_greedy():
    model, params = writer(ATTENTION, cross=True)
    batch = sources(rows=6)
    state, first = begin(model, params, batch, SPEC, 8)
    greedy = decode(model, params, state, first, 8, Sampling(), jax.random.key(0), END)
    found = beam_search(model, params, state, first, 8, 1, 0.0, END)
    np.testing.assert_array_equal(found.tokens[:, 0], greedy)


def test_more_beams_than_tokens_leave_some_empty():
    model, params = writer(GRU, cross=False)
    state, first = begin(model, params, sources(rows=2), SPEC, 1)
    found = beam_search(model, params, state, first, 1, 6, 0.0, END)
    assert np.isfinite(found.scores[:, :4]).all()
    assert (found.scores[:, 4:] == -math.inf).all()
    assert sorted(found.tokens[0, :4, 0].tolist()) == [0, 1, 2, 3]


def test_beams_of_a_language_model_continue_its_prompt():
    model = build_model({"width": 8} | ATTENTION, LANGUAGE)
    params = jax.tree.map(lambda p: 3 * p, model.init(jax.random.key(0)))
    prompt = np.array([[0, 1, 2]], np.int32)
    found = beam_search(model, params, model.initial_state(1, 8), prompt, 4, 4**4, 0.0)
    whole = [
        np.concatenate([prompt[0], tokens]).astype(np.int32)
        for tokens in itertools.product(range(4), repeat=4)
    ]
    batch = Batch(np.stack(whole), np.stack(whole), np.ones((256, 7), np.float32))
    scores = np.asarray(jax.jit(model.apply)(params, batch), np.float64)
    log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    totals = [sum(log_p[i, 2 + j, row[3 + j]] for j in range(4)) for i, row in enumerate(whole)]
    best = np.argsort(totals)[::-1]
    assert found.tokens[0, 0].tolist() == whole[best[0]][3:].tolist()
    np.testing.assert_allclose(found.scores[0], np.array(totals)[best], rtol=1e-4)


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (Sampling(-1.0), "temperature=-1.0 is below 0"),
        (Sampling(1.0, top_k=0), "top_k=0 is below 1"),
        (Sampling(1.0, top_p=0.0), "top_p=0.0 is not above 0 and at most 1"),
        (Sampling(0.0, top_p=0.5), "top_p=0.5 is never read with temperature=0"),
    ],
)
def test_settings_that_can_not_be_used(sampling, message):
    with pytest.raises(ParameterError, match=message):
        sampling.check()
