import math

from benchmarks.ratios import Measured, above, geometric_mean


def measured(name, *ratios):
    """Rounds on a machine that gets slower, with these ratios."""
    before = [1.0 + number for number in range(len(ratios))]
    after = [ratio * time for ratio, time in zip(ratios, before, strict=True)]
    return Measured(name, {}, before, after)


def test_a_cases_ratio_is_the_middle_of_its_rounds():
    """Rounds are compared each with its own neighbour, and one that was disturbed is left out."""
    lstm = measured("lstm", 1.0, 1.1, 9.0)
    assert math.isclose(lstm.ratio(), 1.1)
    assert lstm.line().endswith("2000.00 ms   2200.00 ms  1.10 (1.00 to 9.00, 3 rounds)")


def test_what_is_slower_than_it_may_be_is_named():
    fast, even, slow = measured("rnn", 0.5), measured("gru", 1.15), measured("lstm", 1.2)
    assert above([fast, even, slow], 1.15, 1.03) == ["lstm 1.20 (at most 1.15)"]
    assert math.isclose(geometric_mean([fast, measured("lstm", 2.0)]), 1.0)
    assert above([even], 1.15, 1.03) == ["the geometric mean 1.150 (at most 1.03)"]
    assert above([], 1.15, 1.03) == []
