"""What ``make soak`` alone asks: others beside it in ``make test`` ask most of the same."""

import os
from typing import Any

import pytest

SOAK = "SOAK" in os.environ


def soak_only(*values: Any) -> Any:
    """One case of a test, in ``make soak`` alone; a whole test there is marked ``soak``."""
    return pytest.param(*values, marks=pytest.mark.soak)
