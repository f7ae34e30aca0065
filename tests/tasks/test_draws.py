"""Draws made for all rows at once against the plain definition of what is drawn."""

import itertools
from collections import Counter

import numpy as np
import pytest

from seqmodels.tasks import TASKS
from seqmodels.tasks.sampling import choose, different


def require_shares(seen: dict, shares: dict, draws: int) -> None:
    """Nothing else is seen, and each as often as its share says, by a chi-square test."""
    assert seen.keys() <= shares.keys()
    off = sum((seen.get(k, 0) - draws * p) ** 2 / (draws * p) for k, p in shares.items())
    freedom = len(shares) - 1
    assert off < freedom + 5 * (2 * freedom) ** 0.5  # 5 standard deviations


@pytest.mark.parametrize("few", [0, 16])
@pytest.mark.parametrize("odds", [None, (0.4, 0.3, 0.2, 0.07, 0.03)])
def test_one_after_another_by_the_odds_of_what_is_left(monkeypatch, few, odds):
    """By repetitions left out, of which some rows come to too few, and by noise."""
    monkeypatch.setattr("seqmodels.tasks.sampling.FEW", few)
    random, draws = np.random.default_rng(0), 20_000
    shares = odds or (0.2,) * 5
    drawn = choose(random, np.log(shares) if odds else 5, draws, 3)
    expected = {
        (a, b, c): shares[a] * shares[b] / (1 - shares[a]) * shares[c]
        / (1 - shares[a] - shares[b])
        for a, b, c in itertools.permutations(range(5), 3)
    }  # fmt: skip
    require_shares(Counter(map(tuple, drawn.tolist())), expected, draws)


def test_odds_so_uneven_that_repetitions_would_never_end():
    odds = np.where(np.arange(1000) < 3, 0.0, -700.0)
    drawn = choose(np.random.default_rng(0), odds, 5, 4)
    assert (np.sort(drawn[:, :3], axis=1) == [0, 1, 2]).all()
    assert (drawn[:, 3] > 2).all()


def test_different_numbers_in_any_order_alike():
    drawn = different(np.random.default_rng(0), 4, (100, 200), 3).reshape(-1, 3)
    expected = dict.fromkeys(itertools.permutations(range(4), 3), 1 / 24)
    require_shares(Counter(map(tuple, drawn.tolist())), expected, len(drawn))


def shapes_of_listops(most: int, depth: int) -> dict:
    """Expressions by whether arguments are digits (0), with the grammar's probabilities."""
    if depth == 0:
        return {}
    inner = shapes_of_listops(most, depth - 1)
    argument = {0: 0.75 if inner else 1.0} | {shape: 0.25 * p for shape, p in inner.items()}
    found: dict = Counter()
    for count in range(2, most + 1):
        for parts in itertools.product(argument, repeat=count):
            found[parts] += np.prod([argument[part] for part in parts]) / (most - 1)
    return found


def size(shape) -> int:
    return 1 if shape == 0 else 2 + sum(map(size, shape))


def test_listops_are_as_frequent_as_their_grammar_says():
    """Of those that are long enough and not too long, each by its probability."""
    draws, length = 10_000, 12
    batch = TASKS["listops"](seed=0, depth=3, arguments=3).batch("train", 0, draws, length)
    fit = {s: p for s, p in shapes_of_listops(3, 2).items() if length / 4 <= size(s) <= length}
    total = sum(fit.values())
    seen: Counter = Counter()
    for row, mask in zip(batch.inputs.tolist(), batch.mask.sum(axis=1).tolist(), strict=True):
        stack: list[list] = [[]]
        for token in row[:mask]:
            if token < 10:
                stack[-1].append(0)
            elif token < 14:
                stack.append([])
            else:
                done = stack.pop()
                stack[-1].append(tuple(done))
        seen[stack[0][0]] += 1
    require_shares(seen, {shape: p / total for shape, p in fit.items()}, draws)
    assert {token for row in batch.inputs.tolist() for token in row} == set(range(15))


def test_brackets_are_divided_evenly():
    """Of 8 tokens 5 lie inside brackets and sign: the left part has 1 to 4 of them."""
    batch = TASKS["modular_arithmetic_brackets"](seed=0).batch("train", 0, 20_000, 8)
    signs = np.isin(batch.inputs, (5, 6, 7))
    depth = np.cumsum((batch.inputs == 8).astype(int) - (batch.inputs == 9), axis=1)
    places = (signs & (depth == 1) & (np.roll(batch.inputs, 1, axis=1) != 8)).argmax(axis=1)
    places = places - 1  # tokens on the left
    # A left part of 2 begins with a minus, as does one in brackets.
    shares = dict.fromkeys((1, 2, 3, 4), 0.25)
    require_shares(Counter(places.tolist()), shares, 20_000)


def test_fuzzy_pairs_are_what_a_plain_loop_draws():
    """The first two pairs: sizes of keys and values, and how often the key comes again."""
    task, draws = TASKS["fuzzy_recall"](seed=0, vocabulary=6, motif=2), 20_000
    batch = task.batch("train", 0, draws, 16)
    seen = Counter()
    for row in batch.inputs.tolist():
        tokens = [token for token in row if token < 5]
        of_key = [token < 2 for token in tokens]
        key = of_key.index(False)
        rest = of_key[key:]
        seen[key, rest.index(True) if True in rest else len(rest)] += 1
    require_shares(seen, dict.fromkeys(itertools.product((1, 2), (1, 2)), 0.25), draws)


@pytest.mark.parametrize("pairs", [1, 4])
def test_recall_draws_no_more_than_it_shows(pairs):
    """Of a vocabulary so large that a number for each key would take gigabytes."""
    task = TASKS["recall"](seed=0, vocabulary=2**24, pairs=pairs)
    batch = task.batch("train", 0, 256, 64)
    assert batch.inputs.max() < 2**24
    assert len(np.unique(batch.targets)) > 250 * pairs
