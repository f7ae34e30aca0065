"""Every form of attention at every combination of length, mask, window and type."""

from functools import partial

import pytest

from tests.ops.test_attention import (
    BF16,
    F32,
    SLOPES,
    check_blocked,
    check_local,
    check_seam,
)
from tests.ops.test_attention_kernels import (
    assert_right,
    cudnn_attention,
    splash_attention,
    xla_for_cudnn,  # noqa: F401
)

LENGTHS = [1, 7, 63, 64, 130, 257]
each_length = pytest.mark.parametrize("length", LENGTHS)
each_type = pytest.mark.parametrize("dtype", [F32, BF16], ids=str)
each_direction = pytest.mark.parametrize("causal", [True, False])
masked_or_not = pytest.mark.parametrize("masked", [False, True])


@each_length
@each_direction
@masked_or_not
@each_type
def test_blocked_equals_the_reference(length, causal, masked, dtype):
    check_blocked(length, causal, masked, dtype)


@each_length
@each_direction
@masked_or_not
@pytest.mark.parametrize("window", [1, 5, 16])
def test_local_equals_the_reference(length, causal, window, masked):
    check_local(length, causal, window, masked)


@pytest.mark.parametrize("window", [None, 5, 40, 1000])
@each_direction
@pytest.mark.parametrize("sizes", [(150, 220, 70), (200, 300, 0), (1, 300, 299)], ids=str)
@each_type
def test_seam_equals_the_reference(window, causal, sizes, dtype):
    check_seam(window, causal, *sizes, dtype)


@pytest.mark.parametrize("length", [130, 257])
@each_direction
@pytest.mark.parametrize("window", [None, 9])
def test_slopes_lower_distant_scores_in_every_form(length, causal, window):
    if window is None:
        check_blocked(length, causal, True, F32, SLOPES)
    else:
        check_local(length, causal, window, True, SLOPES)


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
