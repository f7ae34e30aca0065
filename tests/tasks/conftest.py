"""Tests of tasks run beside files of the kinds that users have."""

import pytest


@pytest.fixture(autouse=True)
def beside_own_files(own_files, monkeypatch):
    """Relative paths in settings lead to files that are written for the tests."""
    monkeypatch.chdir(own_files)
