"""Fits against costs whose law is known."""

import numpy as np
import pytest

from seqmodels.scaling.fits import (
    crossings,
    fit_power_law,
    fit_two_parts,
    longest_within,
)

LENGTHS = [2**power for power in range(8, 17)]


def law(exponent, coefficient=1e-6):
    return {length: coefficient * length**exponent for length in LENGTHS}


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.5, 2.0])
def test_a_power_law_is_found_exactly(exponent):
    found = fit_power_law(law(exponent), from_length=256)
    assert found is not None
    assert found.exponent == pytest.approx(exponent)
    assert found.coefficient == pytest.approx(1e-6)
    assert found.high - found.low < 1e-6
    assert found.lengths == len(LENGTHS)
    assert found(1000) == pytest.approx(1e-6 * 1000**exponent)


def test_only_long_lengths_count():
    bent = law(2.0) | {256: 1.0, 512: 1.0}
    found = fit_power_law(bent, from_length=1024)
    assert found is not None
    assert found.exponent == pytest.approx(2.0)
    assert found.lengths == len(LENGTHS) - 2
    assert fit_power_law(bent, from_length=2**15) is None, "two points have no interval"


@pytest.mark.slow
def test_the_interval_holds_the_exponent_in_95_of_100():
    random = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        noisy = {length: cost * np.exp(0.1 * random.normal()) for length, cost in law(1.0).items()}
        found = fit_power_law(noisy, from_length=2048)
        assert found is not None
        held += found.low <= 1.0 <= found.high
    assert 930 <= held <= 970


def test_the_interval_is_student_s():
    """Against the covariance of NumPy's fit; 4.30265 holds 95% with 2 degrees of freedom."""
    costs = {256: 1.0, 512: 2.3, 1024: 3.7, 2048: 9.1}
    found = fit_power_law(costs, from_length=256)
    assert found is not None
    x, y = np.log(list(costs)), np.log(list(costs.values()))
    (slope, _), covariance = np.polyfit(x, y, 1, cov=True)
    assert found.exponent == pytest.approx(slope)
    margin = 4.30265273 * covariance[0, 0] ** 0.5
    assert (found.low, found.high) == pytest.approx((slope - margin, slope + margin))


def test_a_line_and_a_square_are_told_apart():
    costs = {length: 3e-6 * length + 2e-9 * length**2 for length in LENGTHS}
    found = fit_two_parts(costs, from_length=256)
    assert found is not None
    assert found.linear == pytest.approx(3e-6)
    assert found.quadratic == pytest.approx(2e-9)
    assert found.exponent(1500) == pytest.approx(1.5)  # where both are equal
    assert found.exponent(1e9) == pytest.approx(2.0, abs=1e-3)


def test_no_part_is_negative():
    found = fit_two_parts(law(0.8), from_length=256)
    assert found is not None
    assert found.quadratic == 0
    assert found.linear > 0
    steep = fit_two_parts(law(2.3), from_length=256)
    assert steep is not None
    assert steep.linear == 0


def test_a_crossing_is_where_the_laws_meet():
    linear, square = law(1.0, 3.1), law(2.0, 1e-3)
    assert crossings(linear, square) == [pytest.approx(3100)]
    assert crossings(square, linear) == [pytest.approx(3100)]
    assert crossings(linear, law(1.0, 4.0)) == []
    assert crossings(linear, {}) == []
    # Lengths that one of them lacks, as it didn't fit there, don't count.
    assert crossings({length: linear[length] for length in LENGTHS[:3]}, square) == []


def test_every_crossing_is_found():
    level = dict.fromkeys(LENGTHS[:6], 1.0)
    wavy = dict(zip(LENGTHS, [0.5, 2.0, 0.5, 1.0, 2.0, 2.0], strict=False))
    found = crossings(level, wavy)
    middle = [LENGTHS[0] * 2**0.5, LENGTHS[1] * 2**0.5, LENGTHS[3]]
    assert found == pytest.approx(middle), "a tie lies on the way from one side to the other"
    there_and_back = crossings(level, wavy | {LENGTHS[4]: 0.5, LENGTHS[5]: 0.5})
    assert there_and_back == pytest.approx(middle[:2]), "the same order at both ends"


def test_where_costs_fall_again_the_last_crossing_of_a_limit_counts():
    costs = dict(zip(LENGTHS, [4.0, 1.0, 4.0, 1.0, 4.0, 16.0], strict=False))
    assert longest_within(costs, 2.0, None) == (round(LENGTHS[3] * 2**0.5), False, False)
    assert longest_within(costs, 0.5, None) == (0, False, False)
    beyond = longest_within(costs | {LENGTHS[6]: 2.0}, 2.0, None)
    assert beyond == (LENGTHS[6], False, True), "no law: at least what was measured"


def test_the_longest_sequence_within_a_limit():
    costs, power = law(2.0, 1e-6), fit_power_law(law(2.0, 1e-6), 256)
    assert longest_within(costs, 1.0, power) == (1000, False, False)
    assert longest_within(costs, 1e-6 * 256**2, power) == (256, False, False)
    assert longest_within(costs, 1e-3, power) == (0, False, False)
    assert longest_within(costs, 1e6, power) == (1_000_000, True, False)
    assert longest_within(costs, 1e6, None) == (LENGTHS[-1], False, True)


@pytest.mark.parametrize("exponent", [1e-6, 0.02, 0.5, 2.0, -0.1])
def test_nothing_reaches_farther_beyond_the_data_than_the_data_span(exponent):
    """256 to 65,536 positions tell of 256 times more, however much the limit would allow."""
    costs = law(exponent)
    reach = longest_within(costs, 1e300, fit_power_law(costs, 256))
    assert reach == (256 * 65_536, True, True)
