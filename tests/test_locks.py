"""A lock is held by one, and let go of whatever ends its holder."""

import os

import pytest

from seqmodels import locks
from seqmodels.locks import HeldError, held


def test_one_holds_it(tmp_path):
    file = tmp_path / ".lock"
    with held(file):
        with pytest.raises(HeldError, match=rf"^process {os.getpid()} on \S+$"), held(file):
            pass
        assert file.exists()
    assert not file.exists()
    with pytest.raises(KeyboardInterrupt), held(file):
        raise KeyboardInterrupt
    with held(file):
        pass


@pytest.mark.parametrize("content", ["", '{"machine": "there", "process": 1}', "[]", "\x00"])
def test_what_a_crash_has_left_is_held_by_nobody(tmp_path, content):
    (tmp_path / ".lock").write_text(content)
    with held(tmp_path / ".lock"):
        pass


def test_a_holder_of_an_unknown_name(tmp_path):
    with held(tmp_path / ".lock"):
        (tmp_path / ".lock").write_text("{}")
        with pytest.raises(HeldError, match=r"^another process$"), held(tmp_path / ".lock"):
            pass


def test_a_lock_on_a_file_that_has_been_deleted_is_none(tmp_path, monkeypatch):
    """Between the opening and the locking of a file its last holder may delete it."""
    file, flock, calls = tmp_path / ".lock", locks.fcntl.flock, []

    def late(descriptor: int, operation: int) -> None:
        if not calls:
            file.unlink()
        calls.append(descriptor)
        flock(descriptor, operation)

    monkeypatch.setattr(locks.fcntl, "flock", late)
    with held(file), pytest.raises(HeldError), held(file):
        pass
    assert len(calls) == 3
