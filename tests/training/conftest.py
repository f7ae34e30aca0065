"""What the tests of training share."""

import gc

import pytest


@pytest.fixture(scope="module", autouse=True)
def little_to_collect():
    """Each restore collects garbage; it need not look through all modules again each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
