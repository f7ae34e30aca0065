"""Which tests stay together in one worker: those that share compiled programs or folders.

xdist's own ``loadgroup`` marks a test by its node id, which pytest computes since 9.1.
"""

from typing import Any

from xdist.scheduler import LoadScopeScheduling


def group_of(test: str) -> str:
    """A test's file; of the mixers' contract the variant, whatever the file.

    >>> group_of("tests/test_cli.py::test_help[1]")
    'tests/test_cli.py'
    >>> group_of("tests/mixers/test_contract.py::test_causal[lstm]")
    'lstm'
    """
    file, _, name = test.partition("::")
    if file.startswith("tests/mixers/") and name.endswith("]"):
        return name[name.index("[") + 1 : -1]
    return file


class Groups(LoadScopeScheduling):
    """Gives a worker all tests of a group."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def pytest_xdist_make_scheduler(config: Any, log: Any) -> Groups:
    """What xdist asks for."""
    return Groups(config, log)
