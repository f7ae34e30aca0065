"""Stacks, flip-flops, palindromes, hops and phone books, by plain loops from their descriptions."""

from collections import defaultdict

import numpy as np
import pytest

from seqmodels.errors import ParameterError
from seqmodels.tasks.generated.copy import Palindrome
from seqmodels.tasks.generated.languages import FlipFlop
from seqmodels.tasks.generated.recall import MultiHopRecall, PhoneBook
from seqmodels.tasks.generated.stacks import Stacks


def rows(task, length: int, count: int = 200):
    """Each row's tokens, its targets by position that count, and its fields there."""
    batch = task.batch("train", 0, count, length)
    fields = task.fields(batch) if hasattr(task, "fields") else {}
    for row, tokens in enumerate(batch.inputs.tolist()):
        counted = np.flatnonzero(batch.weights[row])
        places = batch.positions[row, counted].tolist()
        answers = dict(zip(places, batch.targets[row, counted].tolist(), strict=True))
        told = {name: dict(zip(places, x[row, counted], strict=True)) for name, x in fields.items()}
        yield tokens, answers, told


@pytest.mark.parametrize(("stacks", "length"), [(1, 9), (2, 12), (3, 90), (64, 384), (64, 6)])
def test_what_is_popped_was_pushed_last(stacks, length):
    popped = 0
    for tokens, answers, told in rows(Stacks(seed=0, stacks=stacks, symbols=5), length):
        held, pops = defaultdict(list), 0
        for operation in range(length // 3):
            does, name, symbol = tokens[3 * operation : 3 * operation + 3]
            assert 0 <= name - 2 < stacks <= symbol - 2 < stacks + 5
            asked = 3 * operation + 1
            if does == 0:
                held[name].append((symbol, operation))
                assert asked not in answers
            else:
                pushed, when = held[name].pop()
                assert symbol == pushed == answers[asked]
                assert told["distance"][asked] == operation - when
                pops += 1
        assert pops == len(answers) >= 1 or length % 6 == 3
        popped += pops
    assert popped / 200 > length / 3 * (0.2 if stacks == 64 else 0.3)


def test_pushes_are_as_likely_as_pops_where_both_can_be():
    """Of 200 rows of 300 operations on one stack that holds something."""
    pops, could = 0, 0
    for tokens, _, _ in rows(Stacks(seed=0, stacks=1, symbols=2), 900):
        does = np.array(tokens[:-3:3])  # the last one pops where it can
        holds = np.cumsum(1 - 2 * does) - (1 - 2 * does) > 0
        pops, could = pops + does[holds].sum(), could + holds.sum()
    assert abs(pops / could - 0.5) < 5 * 0.5 / could**0.5


@pytest.mark.parametrize("ignored", [0.0, 0.5, 1.0])
def test_what_is_read_was_written_last(ignored):
    seen = np.zeros(3)
    for tokens, answers, told in rows(FlipFlop(seed=0, ignored=ignored), 60):
        assert (tokens[0], tokens[-2]) == (2, 3)
        written, when = None, None
        for place in range(0, 60, 2):
            does, bit = tokens[place : place + 2]
            if does == 2:
                written, when = bit, place
            assert (place in answers) == (does == 3)
            if does == 3:
                assert bit == written == answers[place]
                assert told["distance"][place] == place - when
        seen += np.bincount(tokens[2:-2:2], minlength=5)[2:]
    share = np.array([(1 - ignored) / 2, (1 - ignored) / 2, ignored])
    assert (abs(seen - seen.sum() * share) <= 5 * np.sqrt(seen.sum() * share * (1 - share))).all()


def test_palindromes_read_the_same_both_ways():
    for tokens, answers, told in rows(Palindrome(seed=0, symbols=5), 16):
        said = [*tokens[9:], answers[15]]
        assert tokens[8] == 0
        assert tokens[:8] == said[::-1]
        assert list(answers) == list(range(8, 16))
        assert list(answers.values()) == said
        assert all(tokens[place - told["distance"][place]] == answers[place] for place in answers)


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_hops_lead_to_the_answer(hops):
    task = MultiHopRecall(seed=0, vocabulary=30, chains=3, hops=hops)
    orders = set()
    for tokens, answers, _ in rows(task, 2 * 3 * hops + 8):
        pairs = [tuple(tokens[2 * i : 2 * i + 2]) for i in range(3 * hops)]
        follows = dict(pairs)
        assert len(follows) == 3 * hops
        assert tokens[6 * hops : -3] == [0] * 5
        for place, answer in answers.items():
            token = tokens[place]
            for _ in range(hops):
                token = follows[token]
            assert token == answer
            assert token not in follows
        orders.add(tuple(first in follows.values() for first, _ in pairs))
    assert len(orders) > 1 or hops == 1


@pytest.mark.parametrize("length", [9, 23, 24])
def test_numbers_stand_in_the_book(length):
    entries = set()
    for tokens, answers, _ in rows(PhoneBook(seed=0, letters=2, digits=3), length):
        book, last = {}, tokens[-4:]
        first = (length - 4) % 5
        assert tokens[:first] == [0] * first
        for place in range(first, length - 4, 5):
            name, number = tuple(tokens[place : place + 2]), tokens[place + 2 : place + 5]
            assert all(11 <= letter < 37 for letter in name)
            assert all(1 <= digit < 11 for digit in number)
            assert name not in book
            book[name] = number
        number = book[tuple(last[:2])]
        assert list(answers) == list(range(length - 3, length))
        assert (list(answers.values()), last[2:]) == (number, number[:2])
        entries.add(list(book).index(tuple(last[:2])))
    assert entries == set(range((length - 4) // 5))


@pytest.mark.parametrize(
    ("task", "length", "why"),
    [
        (Stacks(0), 10, "a multiple of 3"),
        (Stacks(0), 3, "from 6 on"),
        (FlipFlop(0), 9, "an even number, at least 4"),
        (Palindrome(0), 5, "an even number, at least 2"),
        (MultiHopRecall(0), 19, "take at least 20"),
        (PhoneBook(0, letters=1, digits=1), 100, "there are 26 names"),
        (PhoneBook(0), 14, "take at least 15"),
    ],
)
def test_lengths_that_they_cannot_have(task, length, why):
    with pytest.raises(ParameterError, match=why):
        task.batch("train", 0, 2, length)
