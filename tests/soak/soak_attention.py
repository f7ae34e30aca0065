"""Every form of attention at every combination of length, mask, window and type."""

from functools import partial

import pytest

from tests.ops.test_attention import BF16, F32, SLOPES, Case, by_form, check
from tests.ops.test_attention_kernels import (
    assert_right,
    cudnn_attention,
    splash_attention,
    xla_for_cudnn,  # noqa: F401
)

CASES = [
    Case(length, length, causal, window, masked, dtype)
    for length in (1, 7, 63, 64, 130, 257)
    for causal in (True, False)
    for window in (None, 1, 5, 16)
    for masked in (False, True)
    for dtype in (F32, BF16)
]
CASES += [
    Case(queries, keys, causal, window, True, dtype)
    for queries, keys in ((150, 220), (200, 300), (1, 300))
    for causal in (True, False)
    for window in (None, 5, 40, 1000)
    for dtype in (F32, BF16)
]
CASES += [
    Case(length, length, causal, window, True, F32, SLOPES)
    for length in (130, 257)
    for causal in (True, False)
    for window in (None, 9)
]


@pytest.mark.parametrize(("form", "case"), by_form(CASES))
def test_each_form_equals_the_reference(form, case):
    check(form, case)


# Queries, keys, causal, window, offset, masked.
KERNELS = [
    (64, 64, True, 1, 0, True),
    (131, 131, False, 5, 0, True),
    (131, 131, False, 5, 0, False),
    (300, 300, False, 1000, 0, True),
    (700, 700, True, 130, 0, True),
    (700, 700, False, 130, 0, True),
]


@pytest.mark.parametrize("case", KERNELS, ids=str)
@pytest.mark.parametrize("kernel", [cudnn_attention, partial(splash_attention, interpret=True)])
@pytest.mark.usefixtures("xla_for_cudnn")
def test_kernels_equal_the_reference(kernel, case):
    assert_right(kernel, *case)
