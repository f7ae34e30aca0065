"""What the long checks share: their tables are shown, whatever pytest captures."""

from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console


@pytest.fixture(scope="session")
def show(pytestconfig: pytest.Config) -> Callable[[Any], None]:
    """Prints a text or a table."""
    capture: Any = pytestconfig.pluginmanager.getplugin("capturemanager")

    def show(what: Any) -> None:
        with capture.global_and_fixture_disabled():
            print(flush=True)
            Console(width=140, markup=False).print(what)

    return show
