"""What the tests of training share."""

import gc

import pytest


@pytest.fixture(scope="module", autouse=True)
def little_to_collect():
    """A restore that fails collects garbage; it need not look through all that tests have made."""
    gc.collect()
    gc.freeze()
