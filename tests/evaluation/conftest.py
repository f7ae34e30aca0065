"""Runs of small models, for these tests."""

from tests.run_folders import loads_once, run

__all__ = ["loads_once", "run"]
