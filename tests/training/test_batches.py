"""Batches made in the background."""

import threading

import pytest

from seqmodels.errors import UserError
from seqmodels.training import batches as batches_module
from seqmodels.training.batches import AHEAD, Batches


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


@pytest.mark.slow
def test_they_come_in_order_and_end():
    with Batches(lambda step: step**2, range(3, 7)) as batches:
        assert [batches.next() for _ in range(6)] == [9, 16, 25, 36, None, None]
        assert workers()
    assert not workers()


def test_no_more_are_made_ahead_than_are_stated():
    made = []
    with Batches(lambda step: made.append(step), range(100), most_workers=1) as batches:
        batches.next()
        batches.next()
    assert len(made) <= 2 + AHEAD
    assert made == list(range(len(made)))
    assert not workers()


def test_they_are_made_by_one_other_thread_while_the_loop_is_busy():
    ready = threading.Event()
    names = set()

    def make(step: int) -> int:
        names.add(threading.current_thread().name)
        if step == 1:
            ready.set()
        return step

    with Batches(make, range(9), most_workers=1) as batches:
        assert ready.wait(timeout=60), "the second is made though nobody asked for any"
        while batches.next() is not None:
            pass
    assert len(names) == 1
    assert threading.current_thread().name not in names


def test_an_error_comes_when_its_batch_is_asked_for():
    def make(step: int) -> int:
        if step == 2:
            raise UserError("digits/7.npy is missing")
        return step

    def run():
        with Batches(make, range(9)) as batches:
            assert [batches.next(), batches.next()] == [0, 1]
            batches.next()

    with pytest.raises(UserError, match=r"^digits/7.npy is missing$"):
        run()
    assert not workers()


def test_a_loop_that_waits_gets_another_thread():
    """Batches that wait for one another's threads: only several at once can make them."""
    both = threading.Barrier(2)
    names = set()

    def make(step: int) -> int:
        names.add(threading.current_thread().name)
        if step >= 3:
            both.wait(timeout=60)
        return step

    with Batches(make, range(9), most_workers=2) as batches:
        assert [batches.next() for _ in range(9)] == list(range(9))
        assert batches.waited > 0
        assert batches.workers == 2
    assert len(names) == 2
    assert not workers()


def test_a_loop_that_does_not_wait_has_one_thread():
    made = [threading.Event() for _ in range(9)]
    names = set()

    def make(step: int) -> int:
        names.add(threading.current_thread().name)
        return step

    with Batches(make, range(9), most_workers=4) as batches:
        for step in range(9):
            batches._begun[0].add_done_callback(lambda _, step=step: made[step].set())
            assert made[step].wait(timeout=60)
            assert batches.next() == step
        assert batches.waited == 0
        assert batches.workers == 1
    assert len(names) == 1


def test_a_thread_that_hangs_holds_nobody_up(monkeypatch):
    """One that waits for a disk that doesn't answer."""
    monkeypatch.setattr(batches_module, "LEAVE_SECONDS", 0.0)
    begun, answer = threading.Event(), threading.Event()

    def make(step):
        return begun.set() or answer.wait(60)

    with Batches(make, range(2), most_workers=1):
        assert begun.wait(60)
    assert len(workers()) == 1
    answer.set()
    for worker in workers():
        worker.join()
