"""Brute-force checkers of the generated tasks, written from their descriptions."""

from collections import Counter

import numpy as np
import pytest

from seqmodels.tasks.generated.copy import Copy
from seqmodels.tasks.generated.recall import Recall


def test_copy_asks_for_the_pattern_that_it_showed():
    task = Copy(seed=0, pattern=4, symbols=6)
    for length in (8, 9, 30):
        batch = task.batch("train", 0, 4000, length)
        for tokens, targets, positions in zip(
            batch.inputs.tolist(), batch.targets.tolist(), batch.positions.tolist(), strict=True
        ):
            assert tokens == targets + [0] * (length - 8) + [7] * 4
            assert positions == list(range(length - 4, length))
            assert set(targets) <= set(range(1, 7))


@pytest.mark.parametrize("filler", ["blank", "random"])
@pytest.mark.parametrize("length", [12, 13, 24, 60])
def test_recall_asks_for_each_key_once(filler, length):
    batch = Recall(seed=0, vocabulary=32, pairs=3, filler=filler).batch("train", 1, 1250, length)
    for tokens, targets, positions in zip(
        batch.inputs.tolist(), batch.targets.tolist(), batch.positions.tolist(), strict=True
    ):
        keys, values = tokens[0:6:2], tokens[1:6:2]
        value_of = dict(zip(keys, values, strict=True))
        assert len(value_of) == 3
        assert all(1 <= key < 16 for key in keys)
        assert all(16 <= value < 32 for value in values)
        assert len(set(positions)) == 3
        queries = [tokens[position] for position in positions]
        assert Counter(queries) == Counter(keys)
        assert [value_of[query] for query in queries] == targets
        rest = [t for place, t in enumerate(tokens) if place >= 6 and place not in positions]
        assert all(t == 0 if filler == "blank" else 16 <= t < 32 for t in rest)


def test_recall_queries_follow_the_power_law():
    """P(distance g) ~ g^(power - 1): of 20,000 draws, each within 5 standard deviations."""
    draws, places, power = 20_000, 10, 0.3
    task = Recall(seed=0, vocabulary=32, pairs=1, power=power)
    batch = task.batch("train", 0, draws, length=2 + 2 * places)
    seen = np.bincount((batch.positions[:, 0] - 2) // 2, minlength=places)
    odds = np.arange(1, places + 1) ** (power - 1)
    share = odds / odds.sum()
    assert (abs(seen - draws * share) < 5 * np.sqrt(draws * share * (1 - share))).all()
