"""Decoding with each mixer, with and without cross-attention; narrow beams of every width."""

import pytest

from tests.generation.test_decoding import check_beams, check_writing

# Mixers, cross-attention, and a seed of parameters that write all tokens.
WRITERS = [
    (("gru",), False, 4),
    (("gru",), True, 0),
    (("global", "local"), False, 2),
    (("global", "local"), True, 3),
    (("convolution", "neighbours"), False, 7),
    (("convolution", "neighbours"), True, 6),
]


@pytest.mark.parametrize("case", WRITERS, ids=str)
def test_written_tokens_equal_recomputation_from_scratch(case):
    check_writing(*case)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_beam_search_finds_the_best_of_all_sequences(length_penalty):
    check_beams(length_penalty, (1, 2, 3))
