"""Saves by time, and what a run keeps; test_fit.py has runs that do."""

from seqmodels.training.keeping import Keeping
from seqmodels.training.saving import SaveTimer
from tests.command_line import tiny_config


def test_a_save_is_due_once_the_last_is_too_long_ago():
    now = [5.0]
    timer = SaveTimer(60.0, lambda: now[0])
    due = []
    for now[0] in (64.9, 65.0, 66.0):
        due.append(timer.due())
    timer.saved()
    for now[0] in (125.9, 126.0):
        due.append(timer.due())
    assert due == [False, True, True, False, True]
    assert not SaveTimer(None, lambda: now[0]).due()


def test_what_a_config_keeps():
    """By default what earlier versions kept."""
    assert tiny_config().train.keep == Keeping().latest == 2
