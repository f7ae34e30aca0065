"""Recurrences with a matrix as their state against their reference, at a length of thousands."""

import pytest

from tests.ops.test_matrix_state import CASES, check, forms_of


@pytest.mark.parametrize(("case", "form"), forms_of(CASES))
@pytest.mark.parametrize("length", [1, 7, 64, 4096])
def test_each_form_equals_the_reference(case, form, length):
    check(case, form, length, (1e-4, 1e-4))
