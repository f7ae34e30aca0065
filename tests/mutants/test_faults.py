"""The table of faults: each can be planted, and names tests that exist."""

import pytest

from tests.mutants.run import AREAS, ROOT, Fault, present_tests, read_faults

FAULTS = read_faults()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_be_planted(fault: Fault):
    assert fault.why_not(ROOT) is None
    assert fault.after != fault.before
    assert fault.before.rstrip("\n").count("\n") < 3
    assert present_tests(fault, ROOT) == fault.tests, "tests that are not there"


def test_every_area_has_some():
    assert {fault.area for fault in FAULTS} == set(AREAS)
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 60
