"""Thousands of examples of each generated task against a definition written apart from it.

soak/soak_generated_tasks.py has 10,000 of each.
"""

import itertools
import statistics

import numpy as np
import pytest

from seqmodels.errors import ParameterError
from seqmodels.tasks import TASKS
from seqmodels.tasks.generated.listops import SHOWN

EXAMPLES = 4000
SIGNS = dict(enumerate("01234+-*()"))


def final_place(row: list[int]) -> int:
    place = 0
    for step in row:
        place = {0: place, 1: place + 1, 2: place - 1}[step]
    return place % 5


def value(row: list[int]) -> int:
    return eval("".join(SIGNS[token] for token in row)) % 5


ANSWERS = {
    "parity": lambda row: row.count(1) % 2,
    "even_pairs": lambda row: sum(a != b for a, b in itertools.pairwise(row)) % 2 == 0,
    "cycle_navigation": final_place,
    "modular_arithmetic": value,
    "modular_arithmetic_brackets": value,
}


@pytest.mark.parametrize("length", [1, 3, 15])
@pytest.mark.parametrize("name", ANSWERS)
def test_questions_about_strings(name, length):
    task = TASKS[name](seed=0)
    batch = task.batch("train", 0, EXAMPLES, length)
    rows = batch.inputs.tolist()
    assert [ANSWERS[name](row) for row in rows] == batch.targets.tolist()
    if length == 15:
        assert len({tuple(row) for row in rows}) > EXAMPLES / 2
    if length > 1:
        assert set(batch.targets.tolist()) == set(range(task.spec.outputs))


def test_expressions_of_every_length_nest():
    task = TASKS["modular_arithmetic_brackets"](seed=0)
    deepest = 0
    for length in range(1, 41):
        batch = task.batch("train", 0, 20, length)
        assert [value(row) for row in batch.inputs.tolist()] == batch.targets.tolist()
        opened = np.cumsum((batch.inputs == 8).astype(int) - (batch.inputs == 9), axis=1)
        assert (opened >= 0).all()
        assert not opened[:, -1].any()
        deepest = max(deepest, opened.max())
    assert deepest >= 6


@pytest.mark.parametrize("group", ["s3", "s5"])
def test_words_are_products_of_permutations(group):
    elements = list(itertools.permutations(range(int(group[1]))))
    batch = TASKS["word_problem"](seed=0, group=group).batch("train", 0, EXAMPLES, 10)
    for word, answers in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        things = list(range(len(elements[0])))
        for token, answer in zip(word, answers, strict=True):
            # A permutation renames what the ones before made of each thing.
            things = [elements[token][thing] for thing in things]
            assert elements[answer] == tuple(things)
    assert len(set(batch.targets[:, -1].tolist())) == len(elements)


def test_of_words_the_last_products_may_be_scored():
    """Alone, on validation and test; training asks for all."""
    plain, scored = (TASKS["word_problem"](seed=0, scored=scored) for scored in (None, 3))
    for split, counted in (("train", 10), ("validation", 3), ("test", 3)):
        batch = scored.batch(split, 0, 4, 10)
        assert batch.weights.tolist() == [[0] * (10 - counted) + [1] * counted] * 4
        assert (batch.targets == plain.batch(split, 0, 4, 10).targets).all()
    assert (TASKS["word_problem"](seed=0, scored=30).batch("test", 0, 4, 10).weights == 1).all()
    with pytest.raises(ParameterError, match="scored=0 is below 1; None counts all"):
        TASKS["word_problem"](seed=0, scored=0)


@pytest.mark.slow
def test_stacks_hold_what_was_pushed():
    task = TASKS["stack_manipulation"](seed=0)
    for split, length in (("train", 12), ("test", 7)):
        batch = task.batch(split, 0, EXAMPLES, length)
        for source, mask, target in zip(batch.inputs, batch.mask, batch.targets, strict=True):
            stack = []
            for word in task.show_source(source[mask]).split():
                if word == "pop":
                    stack = stack[:-1]
                else:
                    stack.append(word.removeprefix("push"))
            assert task.show_target(target).split() == stack[::-1]
            assert (target[len(stack) :] == task.spec.end).all()
        counts = batch.weights.sum(axis=1)[:1000].tolist()
        written = [len(task.show_target(target).split()) + 1 for target in batch.targets[:1000]]
        assert counts == written
    text = "0 1 pop push1"
    assert task.show_source(task.read_source(text)) == text


def test_sums_are_of_the_marked_numbers():
    batch = TASKS["adding"](seed=0).batch("train", 0, EXAMPLES, 11)
    numbers, marks = batch.inputs[..., 0], batch.inputs[..., 1]
    assert set(np.unique(marks)) == {0.0, 1.0}
    assert (marks[:, :5].sum(axis=1) == 1).all()
    assert (marks[:, 5:].sum(axis=1) == 1).all()
    np.testing.assert_allclose(batch.targets, (numbers * marks).sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(np.mean((batch.targets - 1) ** 2), 1 / 6, rtol=0.05)
    assert 0 <= numbers.min() < 0.01 < 0.99 < numbers.max() < 1


def test_copies_after_a_delay():
    batch = TASKS["delayed_copy"](seed=0, delay=4, symbols=5).batch("train", 0, EXAMPLES, 16)
    assert (batch.inputs[:, :6] == batch.targets).all()
    assert (batch.inputs[:, 6:10] == 0).all()
    assert (batch.inputs[:, 10:] == 6).all()
    assert set(np.unique(batch.targets)) == {1, 2, 3, 4, 5}
    assert (batch.positions == np.arange(10, 16)).all()


def test_copies_of_what_is_no_blank():
    task = TASKS["selective_copy"](seed=0, pattern=4, symbols=5)
    batch = task.batch("train", 0, EXAMPLES, 16)
    for row, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        assert [token for token in row[:12] if token] == targets
        assert row[12:] == [6] * 4
    used = (batch.inputs[:, :12] > 0).mean(axis=0)
    np.testing.assert_allclose(used, 1 / 3, atol=0.03)


def test_the_token_after_the_special_one():
    batch = TASKS["induction"](seed=0).batch("train", 0, EXAMPLES, 12)
    firsts = []
    for row, (target,) in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        assert row.count(0) == 2
        assert row[-1] == 0
        firsts.append(row.index(0))
        assert row[firsts[-1] + 1] == target != 0
    assert set(firsts) == set(range(10))


@pytest.mark.parametrize("distance", [1, 5, 10, None])
def test_the_needle_lies_where_it_should(distance):
    batch = TASKS["needle"](seed=0, distance=distance).batch("train", 0, EXAMPLES, 12)
    found = []
    for row, (target,) in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        (mark,) = [place for place, token in enumerate(row) if token == 0]
        assert row[mark + 1] == target > 1
        assert [place for place, token in enumerate(row) if token == 1] == [11]
        found.append(11 - (mark + 1))
    assert set(found) == (set(range(1, 11)) if distance is None else {distance})


OPERATIONS = {
    "[MIN": min,
    "[MAX": max,
    "[MED": lambda values: int(statistics.median(values)),
    "[SM": lambda values: sum(values) % 10,
}


def evaluate(words: list[str]) -> tuple[int, int, int]:
    """The value of an expression, how deeply it nests, and the most arguments in it."""
    stack, deepest, most = [[]], 0, 0
    for word in words:
        if word in OPERATIONS:
            stack.append([OPERATIONS[word]])
            deepest = max(deepest, len(stack) - 1)
        elif word == "]":
            operation, *values = stack.pop()
            assert len(values) >= 2
            most = max(most, len(values))
            stack[-1].append(operation(values))
        else:
            stack[-1].append(int(word))
    ((value,),) = stack
    return value, deepest, most


@pytest.mark.parametrize("length", [40, 2000])
def test_listops_are_what_their_operations_say(length):
    examples = EXAMPLES if length == 40 else 100
    batch = TASKS["listops"](seed=0).batch("train", 0, examples, length)
    depths, most = set(), 0
    for row, mask, target in zip(batch.inputs, batch.mask, batch.targets, strict=True):
        words = [SHOWN[token] for token in row[mask]]
        assert length / 4 <= len(words) <= length
        value, depth, arguments = evaluate(words)
        assert value == target
        depths.add(depth)
        most = max(most, arguments)
    assert max(depths) <= 9
    assert most == 10
    if length == 2000:
        assert max(depths) == 9
    else:
        assert {1, 2, 3, 4} <= depths
        # An argument is an operation as often as the grammar says, less where there is no room.
        assert set(batch.targets.tolist()) == set(range(10))


def test_listops_that_hardly_ever_get_so_long(monkeypatch):
    monkeypatch.setattr("seqmodels.tasks.generated.listops.TRIES", 10)
    task = TASKS["listops"](seed=0, depth=2, arguments=3)
    with pytest.raises(ParameterError, match="length=100 can't be made by the task listops: exp"):
        task.batch("train", 0, 1, 100)


@pytest.mark.parametrize(("noise", "noise_vocabulary"), [(0.0, 0), (0.2, 4)])
def test_recall_of_keys_that_have_been_seen(noise, noise_vocabulary):
    task = TASKS["in_context_recall"](
        seed=0, vocabulary=12, noise=noise, noise_vocabulary=noise_vocabulary
    )
    used = 12 - noise_vocabulary
    batch = task.batch("train", 0, EXAMPLES, 24)
    noisy = asked = 0
    for row, targets, weights in zip(
        batch.inputs.tolist(), batch.targets.tolist(), batch.weights.tolist(), strict=True
    ):
        known = {}
        for key, value, target, counts in zip(row[::2], row[1::2], targets, weights, strict=True):
            if key >= used:
                assert value >= used
                assert counts == 0
                noisy += 1
                continue
            assert key < used / 2 <= value < used
            assert counts == (key in known)
            if counts:
                assert target == value == known[key]
                asked += 1
            known[key] = value
        assert weights[-1] == 1
    np.testing.assert_allclose(noisy / EXAMPLES / 12, noise * 10 / 12, atol=0.01)
    assert asked > 4 * EXAMPLES
    assert (batch.positions == np.arange(0, 24, 2)).all()


@pytest.mark.parametrize("split", ["train", "test"])
def test_fuzzy_keys_and_values(split):
    task = TASKS["fuzzy_recall"](seed=0, vocabulary=10, motif=2)
    batch = task.batch(split, 0, EXAMPLES if split == "train" else EXAMPLES // 10, 40)
    sizes = set()
    for row, targets, weights in zip(
        batch.inputs.tolist(), batch.targets.tolist(), batch.weights.tolist(), strict=True
    ):
        words = "".join("k" if t < 4 else "v" if t < 8 else "m" if t == 8 else "f" for t in row)
        filler = words.count("f")
        assert words.startswith("f" * filler)
        assert words.count("m") == 1
        known, place, expected = {}, filler, set()
        while place < len(row):
            place += words[place] == "m"
            parts = []
            for letter in "kv":
                end = place
                while end < len(row) and words[end] == letter:
                    end += 1
                parts.append(tuple(row[place:end]))
                start, place = place, end
            key, value = parts
            assert len(set(key)) == len(key)
            assert len(set(value)) == len(value)
            if key in known:
                assert known[key] == value
                expected |= set(range(start - 1, place - 1))
            known[key] = value
            sizes.add((len(key), len(value)))
        assert {i for i, counts in enumerate(weights) if counts} == expected
        assert all(targets[i] == row[i + 1] for i in expected)
        assert weights[-2] == 1
    keys = {1, 2} if split == "train" else {2}
    assert sizes == set(itertools.product(keys, (1, 2)))


def test_what_is_memorised_is_the_same_everywhere():
    task = TASKS["memorisation"](seed=0, vocabulary=21)
    pairs = set()
    for split in ("train", "test"):
        batch = task.batch(split, 3, EXAMPLES, 8)
        assert (batch.inputs[:, 1::2] == 20).all()
        keys = batch.inputs[:, ::2].ravel().tolist()
        pairs |= set(zip(keys, batch.targets.ravel().tolist(), strict=True))
    assert sorted(key for key, _ in pairs) == list(range(10))
    assert sorted(value for _, value in pairs) == list(range(10, 20))


def test_compression_is_of_whole_strings():
    batch = TASKS["compression"](seed=0, symbols=4).batch("train", 0, EXAMPLES, 9)
    assert batch.mask.all()
    assert batch.weights.all()
    assert (batch.targets[:, :-1] == batch.inputs).all()
    assert (batch.targets[:, -1] == 4).all()
