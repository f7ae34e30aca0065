"""The folders of 86804e9.tar.xz, unpacked."""

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

ARCHIVE = Path(__file__).with_name("86804e9.tar.xz")


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them, to read alone. Their commands ran there: paths in them are relative to it."""
    folder = tmp_path_factory.mktemp("old_folders")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder / "86804e9"


@pytest.fixture
def old(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, and the working directory is there."""
    monkeypatch.chdir(unpacked)
    return unpacked


@pytest.fixture
def copied(unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Copies one beside the files that it needs, to write into; the working directory is there."""

    def copy(name: str) -> str:
        for part in (name, "text"):
            shutil.copytree(unpacked / part, tmp_path / part)
        shutil.copy(unpacked / "small.py", tmp_path)
        monkeypatch.chdir(tmp_path)
        return name

    return copy
