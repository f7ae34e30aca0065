"""Decoding against recomputation from scratch and against searches of everything."""

import itertools
import math
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.errors import ParameterError
from seqmodels.generation.decoding import (
    Sampling,
    allowed_scores,
    beam_search,
    begin,
    decode,
    sample,
)
from seqmodels.model import Model, build_model
from seqmodels.tasks.base import Batch, TaskSpec
from tests.drawn_parameters import draw_parameters

END = 3
SPEC = TaskSpec("sequence-to-sequence", "tokens", 5, 4, False, "exact_match", True, end=END)
LANGUAGE = TaskSpec("many-to-many", "tokens", 4, 4, True, "accuracy", True)
GRU = {"depth": 1, "pattern": ("gru",), "mixers": {"gru": {"kind": "gru"}}}
MIXERS = {
    "gru": {"kind": "gru"},
    "global": {"kind": "attention", "heads": 2},
    "local": {"kind": "attention", "heads": 2, "window": 3},
    "convolution": {"kind": "convolution", "kernel": 3},
    "neighbours": {"kind": "neighbourhood_attention", "kernel": 3, "heads": 2},
}


def blocks(*names: str) -> dict:
    """A block of each of the mixers."""
    return {"depth": len(names), "pattern": names, "mixers": {n: MIXERS[n] for n in names}}


@cache
def writer(decoder: tuple[str, ...], cross: bool) -> Model:
    """An encoder-decoder; one for all tests, which share what is compiled of it."""
    way = {"cross": "scaled_dot", "cross_heads": 2} if cross else {"pooling": "mean"}
    return build_model({"width": 8, "encoder": GRU, "decoder": blocks(*decoder)} | way, SPEC)


def large_parameters(model: Model, seed: int = 0) -> dict:
    """Weights large enough that tokens differ."""
    random = np.random.default_rng(seed)

    def noisy(p):
        return 3 * p + random.normal(size=p.shape).astype(np.float32)

    return jax.tree.map(noisy, draw_parameters(model, seed))


def sources(rows: int = 4, targets: int = 8) -> Batch:
    """Sources of different lengths; the targets only give a shape."""
    random = np.random.default_rng(1)
    mask = np.arange(6)[None] < random.integers(1, 7, rows)[:, None]
    inputs = np.where(mask, random.integers(0, 5, (rows, 6)), 0).astype(np.int32)
    none = np.zeros((rows, targets))
    return Batch(inputs, none.astype(np.int32), none.astype(np.float32) + 1, mask)


def greedily(model, params, batch: Batch, count: int) -> np.ndarray:
    """The best token each time."""
    state, first = begin(model, params, batch, SPEC, count)
    key = jax.random.key(0)
    return np.asarray(decode(model, params, state, first, count, Sampling(), key, END))


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


# Mixers, cross-attention, and a seed of parameters that write all tokens.
WRITERS = [
    (("gru", "convolution", "neighbours"), False, 7),
    (("global", "local"), True, 3),
]


def check_writing(decoder: tuple[str, ...], cross: bool, seed: int) -> None:
    """Written tokens equal recomputation from scratch."""
    model, batch = writer(decoder, cross), sources(rows=12)
    params = large_parameters(model, seed)
    expected = written_from_scratch(model, params, batch, 8)
    np.testing.assert_array_equal(greedily(model, params, batch, 8), expected)
    assert len(np.unique(expected)) > 1


@pytest.mark.slow
@pytest.mark.parametrize("case", WRITERS, ids=str)
def test_written_tokens_equal_recomputation_from_scratch(case):
    """With every mixer; soak/soak_decoding.py has more pairs."""
    check_writing(*case)


@pytest.mark.slow
def test_a_row_stops_at_its_end_whatever_the_others_do():
    model = writer(("gru",), cross=False)
    params, batch = large_parameters(model), sources(rows=40)
    sampling, key = Sampling(temperature=1.0), jax.random.key(0)
    state, first = begin(model, params, batch, SPEC, 12)
    tokens = np.asarray(decode(model, params, state, first, 12, sampling, key, END))
    ends = [row.tolist().index(END) if END in row else 12 for row in tokens]
    assert len(set(ends)) > 3
    for row, stop in zip(tokens, ends, strict=True):
        assert (row[stop:] == END).all()
    alone = jax.tree.map(lambda x: np.repeat(x[7:8], 40, axis=0), batch)
    beside, by_itself = (greedily(model, params, part, 12) for part in (batch, alone))
    np.testing.assert_array_equal(by_itself, np.repeat(beside[7:8], 40, axis=0))


SCORES = np.log(np.array([[0.5, 0.25, 0.15, 0.1], [0.1, 0.2, 0.3, 0.4]], np.float32))


# The best so many, the share of probability, and what may then be drawn.
ALLOWED = [
    (None, None, [[0, 1, 2, 3], [0, 1, 2, 3]]),
    (1, None, [[0], [3]]),
    (2, None, [[0, 1], [2, 3]]),
    (9, None, [[0, 1, 2, 3], [0, 1, 2, 3]]),
    (None, 0.4, [[0], [3]]),
    (None, 0.6, [[0, 1], [2, 3]]),
    (None, 0.85, [[0, 1, 2], [1, 2, 3]]),
    (3, 0.7, [[0, 1], [2, 3]]),  # of the three best alone: 0.56 + 0.28, 0.44 + 0.33
]


def test_only_the_best_may_be_drawn():
    every = jax.jit(lambda scores: [allowed_scores(scores, k, p) for k, p, _ in ALLOWED])
    for scores, (top_k, top_p, allowed) in zip(every(SCORES), ALLOWED, strict=True):
        kept = np.isfinite(scores)
        assert [np.nonzero(row)[0].tolist() for row in kept] == allowed, (top_k, top_p)


def test_tokens_are_drawn_by_their_probabilities():
    temperatures = (0.5, 1.0, 2.0)
    rows, key = np.tile(SCORES[:1], (20_000, 1)), jax.random.key(0)
    drawn = jax.jit(lambda rows: [sample(rows, Sampling(t, top_k=3), key) for t in temperatures])
    for temperature, tokens in zip(temperatures, drawn(rows), strict=True):
        odds = np.exp(SCORES[0, :3] / temperature)
        shares = np.bincount(tokens, minlength=4) / len(tokens)
        np.testing.assert_allclose(shares[:3], odds / odds.sum(), atol=0.012)  # 3 deviations
        assert shares[3] == 0


@pytest.mark.slow
def test_each_token_is_drawn_anew():
    """Of four equally likely tokens two that follow one another agree in a fourth of the cases."""
    model = build_model({"width": 8} | GRU, LANGUAGE)
    params = jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0)))
    state, first = model.start(params, 100, 9), np.zeros((100, 1), np.int32)
    tokens = decode(model, params, state, first, 8, Sampling(1.0), jax.random.key(0))
    assert 0.17 < np.mean(tokens[:, 1:] == tokens[:, :-1]) < 0.33  # 5 deviations


def test_one_best_token_is_greedy():
    key, settings = jax.random.key(0), (Sampling(), Sampling(1.0, top_k=1))
    greedy, drawn = jax.jit(lambda scores: [sample(scores, s, key) for s in settings])(SCORES)
    np.testing.assert_array_equal(greedy, [0, 3])
    np.testing.assert_array_equal(drawn, greedy)


def all_sequences(count: int) -> list[list[int]]:
    """All that end within ``count`` tokens, and all of that many that have not ended."""
    ended = [
        [*tokens, END]
        for length in range(count)
        for tokens in itertools.product(range(END), repeat=length)
    ]
    return ended + [list(tokens) for tokens in itertools.product(range(END), repeat=count)]


def log_probabilities(model, params, batch: Batch, sequences: list[list[int]]) -> np.ndarray:
    """Of every sequence after every source: [B, sequences], by one call of the whole model."""
    rows, count = len(batch.inputs), len(sequences)
    padded = np.array([tokens + [END] * (5 - len(tokens)) for tokens in sequences], np.int32)
    written = np.arange(5)[None] < np.array([[len(tokens)] for tokens in sequences])
    every = jax.tree.map(lambda x: np.repeat(x, count, axis=0), batch)
    every = every._replace(targets=np.tile(padded, (rows, 1)))
    scores = np.asarray(jax.jit(model.apply)(params, every), np.float64)
    log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    of_tokens = np.take_along_axis(log_p.reshape(rows, count, 5, -1), padded[None, :, :, None], 3)
    return (of_tokens[..., 0] * written).sum(-1)


def check_beams(length_penalty: float, fewer: tuple[int, ...]) -> None:
    """As many beams as sequences find the best of all; fewer find nothing better."""
    model, count = writer(("gru",), cross=True), 3
    sequences, batch = all_sequences(count), sources(rows=2, targets=5)
    lengths = np.array([len(tokens) for tokens in sequences])
    for seed in range(2):
        params = large_parameters(model, seed)
        log_p = log_probabilities(model, params, batch, sequences)
        state, first = begin(model, params, batch, SPEC, count)
        search = partial(
            beam_search, model, params, state, first, count, length_penalty=length_penalty, end=END
        )
        found = search(beams=len(sequences))
        every = log_p / ((5 + lengths) / 6) ** length_penalty
        for row in range(2):
            order = np.argsort(-every[row])
            for place, best in enumerate(order[:6]):
                padded = sequences[best] + [END] * (count - lengths[best])
                assert found.tokens[row, place].tolist() == padded
                assert float(found.scores[row, place]) == pytest.approx(every[row, best], abs=1e-4)
        for beams in fewer:
            assert (np.asarray(search(beams=beams).scores)[:, 0] <= every.max(axis=1) + 1e-4).all()


@pytest.mark.slow
@pytest.mark.parametrize(("length_penalty", "fewer"), [(1.0, (2,))])
def test_beam_search_finds_the_best_of_all_sequences(length_penalty, fewer):
    check_beams(length_penalty, fewer)


@pytest.mark.slow
def test_one_beam_is_greedy():
    model = writer(("global", "local"), cross=True)
    params, batch = large_parameters(model), sources(rows=12)
    state, first = begin(model, params, batch, SPEC, 8)
    found = beam_search(model, params, state, first, 8, 1, 0.0, END)
    np.testing.assert_array_equal(found.tokens[:, 0], greedily(model, params, batch, 8))


def test_more_beams_than_tokens_leave_some_empty():
    model = writer(("gru",), cross=False)
    params = large_parameters(model)
    state, first = begin(model, params, sources(rows=2), SPEC, 1)
    found = beam_search(model, params, state, first, 1, 6, 0.0, END)
    assert np.isfinite(found.scores[:, :4]).all()
    assert (np.asarray(found.scores)[:, 4:] == -math.inf).all()
    assert sorted(found.tokens[0, :4, 0].tolist()) == [0, 1, 2, 3]


@pytest.mark.slow
def test_beams_of_a_language_model_continue_its_prompt():
    model = build_model({"width": 8} | blocks("global", "local"), LANGUAGE)
    params = draw_parameters(model)
    prompt = np.array([[0, 1, 2]], np.int32)
    found = beam_search(model, params, model.start(params, 1, 8), prompt, 4, 4**4, 0.0)
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


@pytest.mark.slow
def test_prompts_of_different_lengths_are_continued_as_each_by_itself():
    """Two rows of 5 tokens and 1, padded at their end, by every kind of state at once."""
    settings = {"width": 8, "positions": "learned", "max_length": 12, "short_convolution": 3}
    model = build_model(settings | blocks(*MIXERS), LANGUAGE)
    params, key = large_parameters(model), jax.random.key(0)
    prompts, lengths = np.array([[0, 1, 2, 3, 1], [1, 2, 2, 2, 2]], np.int32), (5, 1)
    valid = np.arange(5)[None] < np.array(lengths)[:, None]
    alone = [(prompts[i : i + 1, :n], model.start(params, 1, 11)) for i, n in enumerate(lengths)]
    state = model.start(params, 2, 11)
    together = decode(model, params, state, prompts, 6, Sampling(), key, valid=valid)
    each = [decode(model, params, own, prompt, 6, Sampling(), key) for prompt, own in alone]
    np.testing.assert_array_equal(together, np.concatenate(each))
    assert len(np.unique(together)) > 1
    found = beam_search(model, params, state, prompts, 3, 4, valid=valid)
    prompt, own = alone[1]
    by_itself = beam_search(model, params, own, prompt, 3, 4)
    np.testing.assert_array_equal(found.tokens[1], by_itself.tokens[0])
    np.testing.assert_allclose(found.scores[1], by_itself.scores[0], rtol=1e-4)


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
