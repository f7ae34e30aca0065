"""Every preset goes on from its state, and learns."""

import pytest

from tests.test_configs import DIGITS, ON_ONE_OPERATION, check_images, check_training
from tests.test_model import EXTENDED, check_extend


@pytest.mark.parametrize("name", EXTENDED)
def test_extend_in_pieces_equals_apply(name):
    check_extend(name)


@pytest.mark.parametrize("name", ON_ONE_OPERATION)
def test_a_preset_trains(name):
    check_training(DIGITS, name)


@pytest.mark.parametrize("layout", ["sequence", "grid"])
@pytest.mark.parametrize("name", ON_ONE_OPERATION)
def test_a_preset_reads_images(name, layout):
    check_images(name, layout)
