"""Folders whose JSON holds something else, by the readers that take a moment.

All readers, and hundreds of mutations: tests/soak/soak_json.py.
"""

import pytest

from tests.mutated_json import outcomes, report, scale


@pytest.mark.slow
def test_a_mutated_file_is_refused_or_said(old, tmp_path):
    found = list(outcomes(old, tmp_path, 17, (report, scale)))
    assert [str(outcome) for outcome in found if not outcome.is_right] == []
    assert {"refused", "said"} <= {outcome.ended for outcome in found}


def test_all_that_read_a_config_refuse_one_of_another_shape(old, tmp_path):
    """One change alone: it is there so that no reader stops being held without notice."""
    found = {outcome.reader: outcome.ended for outcome in outcomes(old, tmp_path, 1)}
    readers = ("train", "evaluate", "evaluate_lengths", "generate", "report")
    assert found == dict.fromkeys(readers, "refused")
