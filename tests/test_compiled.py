"""The folder of compiled programs: nothing in it is trusted that isn't whole and one's own."""

import os
import stat

import pytest

from seqmodels.training.program_cache import CheckedPrograms
from tests import compiled


def test_what_is_kept_comes_back_and_damage_counts_as_missing(tmp_path):
    programs = CheckedPrograms(tmp_path)
    assert programs.get("a") is None
    programs.put("a", b"program")
    assert programs.get("a") == b"program"
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole + b"x", whole[:40] + b"x" + whole[41:], b"", b"x" * 32):
        file.write_bytes(damaged)
        assert programs.get("a") is None
    programs.put("a", b"program")
    assert programs.get("a") == b"program"


def test_a_disk_that_takes_nothing_costs_nothing(tmp_path):
    programs = CheckedPrograms(tmp_path / "gone")
    programs.put("a", b"program")
    assert programs.get("a") is None


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQMODELS_TEST_CACHE", str(tmp_path / "cache"))
    return compiled._own_folder()


def test_the_folder_is_the_users_alone(folder):
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert compiled._own_folder() == folder
    folder.chmod(0o777)
    assert compiled._own_folder() is None


def test_a_folder_of_somebody_else_is_left_alone(folder, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    assert compiled._own_folder() is None


def test_a_link_is_no_folder(folder, tmp_path):
    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert compiled._own_folder() is None


def test_none_is_kept_where_none_is_wanted(monkeypatch):
    monkeypatch.setenv("SEQMODELS_TEST_CACHE", "")
    assert compiled._own_folder() is None


def test_where_the_home_cannot_be_written_another_folder_serves(tmp_path, monkeypatch):
    monkeypatch.delenv("SEQMODELS_TEST_CACHE", raising=False)
    (tmp_path / "home").write_text("no folder")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(compiled.tempfile, "gettempdir", lambda: str(tmp_path))
    assert compiled._own_folder().parent == tmp_path / f"seqmodels-tests-{os.getuid()}"
