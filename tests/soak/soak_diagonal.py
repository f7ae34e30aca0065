"""The diagonal recurrences against their references, in every form, also at 4,096 positions."""

import pytest

from seqmodels.ops.diagonal_forms import DIAGONAL
from tests.ops.test_diagonal_recurrence import OPS, check


@pytest.mark.parametrize("form", DIAGONAL.forms)
@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("length", [1, 7, 130, 4096])
def test_each_form_equals_the_reference(name, form, length):
    check(name, form, length, by_outputs=1e-5 if length < 4096 else 1e-4)
