"""The watchdog, by a clock of the test; nothing here waits for one."""

import threading
from collections.abc import Mapping

import pytest

from seqmodels.errors import UserError
from seqmodels.training import fit as fit_module
from seqmodels.training.fit import fit
from seqmodels.training.watchdog import STEP, Watchdog
from tests.command_line import tiny_config

LIMIT = "takes longer than train.watchdog_seconds=10; the same command"


class Clock:
    """What a watchdog is given, and what it has done."""

    def __init__(self, others: Mapping[int, str | None] | None = None):
        self.now = 100.0
        self.told: list[str] = []
        self.ended: list[str] = []
        self.watchdog = Watchdog(
            10.0,
            end=self.ended.append,
            clock=lambda: self.now,
            tell=self.told.append,
            told=lambda: others or {},
        )

    def after(self, seconds: float) -> list[str]:
        """What has ended the process once so many seconds have passed."""
        self.now += seconds
        self.watchdog.look()
        return self.ended


def test_what_takes_longer_than_the_limit_ends_the_process():
    clock = Clock()
    assert clock.after(100) == [], "nothing has begun"
    clock.watchdog.does(STEP, 7)
    assert clock.after(9.9) == []
    clock.watchdog.does("the batch of step", 8)
    assert clock.after(9.9) == [], "each has the limit to itself"
    said = f"the batch of step 8 {LIMIT} continues from the latest checkpoint"
    assert clock.after(0.2) == [said]


def test_what_may_take_any_time_is_not_watched():
    clock = Clock()
    clock.watchdog.does(STEP, 7)
    clock.now += 8
    with clock.watchdog.paused():
        assert clock.after(100) == []
    assert clock.after(9) == [], "its time begins anew"
    assert len(clock.after(2)) == 1


def test_nor_is_a_step_in_which_another_waits_for_it():
    """It tells that it takes its time, and once it goes on that it does."""
    busy = Clock()
    busy.watchdog.does(STEP, 7)
    with busy.watchdog.paused():
        assert busy.after(6) == []
        waiting = Clock({1: busy.told[-1]})
        waiting.watchdog.does(STEP, 8)
        assert waiting.after(100) == []
    assert busy.after(0) == []
    assert busy.told == ["pause after step 7", "step 7"]


def test_it_tells_the_others_once_half_of_the_limit_has_passed():
    clock = Clock()
    for number in (1, 2):
        clock.watchdog.does(STEP, number)
        for _ in range(3):
            clock.after(2 * number)
    assert clock.told == [f"{STEP} 1", f"{STEP} 2"]


@pytest.mark.parametrize(
    ("others", "named"),
    [
        ({1: "the batch of step 13"}, "process 1 hangs (in the batch of step 13): "),
        ({0: "step 12", 1: None, 3: "step 13"}, "process 1 hangs (it says nothing): "),
        ({0: "step 12", 1: "step 4"}, "process 1 hangs (it says nothing): "),
        ({1: "step 12", 2: "step 10"}, ""),
        ({1: "step 12", 2: "pause after step 9"}, "process 2 hangs (it says nothing): "),
    ],
)
def test_the_process_that_hangs_is_named_by_those_that_wait_for_it(others, named):
    clock = Clock(others)
    clock.watchdog.does(STEP, 12)
    rest = f"step 12 {LIMIT} in every process continues from the latest checkpoint"
    assert clock.after(10.1) == [named + rest]


def test_who_hangs_itself_names_itself():
    clock = Clock({1: "step 12"})
    clock.watchdog.does("the batch of step", 12)
    assert clock.after(10.1)[0].startswith(f"the batch of step 12 {LIMIT}")


def test_a_batch_that_hangs_in_a_run_is_said(monkeypatch, tmp_path):
    """What would end the process lets the batch go on here, and fail."""
    said: list[str] = []
    goes_on = threading.Event()

    def end(message: str) -> None:
        said.append(message)
        goes_on.set()

    def hang(*_) -> None:
        assert goes_on.wait(60)
        raise UserError("it is over")

    monkeypatch.setattr(fit_module, "Watchdog", lambda seconds: Watchdog(seconds, end))
    config = tiny_config().unlock()
    with config.ignore_type():
        config.train.watchdog_seconds = 0.02
    with pytest.raises(UserError, match=r"^it is over$"):
        fit(config, tmp_path, observers=[hang])
    limit = LIMIT.replace("10", "0.02")
    assert said[0] == f"the batch of step 1 {limit} continues from the latest checkpoint"
    for thread in threading.enumerate():
        if thread.name == "watchdog":
            thread.join(60)
            assert not thread.is_alive()
