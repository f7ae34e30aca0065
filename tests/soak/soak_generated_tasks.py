"""10,000 examples of each generated task against a definition written apart from it."""

import pytest

from tests.tasks import test_generated_tasks
from tests.tasks.test_generated_tasks import *  # noqa: F403


@pytest.fixture(autouse=True)
def many(monkeypatch):
    monkeypatch.setattr(test_generated_tasks, "EXAMPLES", 10_000)
