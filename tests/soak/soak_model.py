"""Every preset goes on from its state."""

import pytest

from tests.test_model import EXTENDED, check_extend


@pytest.mark.parametrize("name", EXTENDED)
def test_extend_in_pieces_equals_apply(name):
    check_extend(name)
