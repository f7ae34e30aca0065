"""Runs of small models, for these tests."""

from tests.trained_runs import loads_once, run

__all__ = ["loads_once", "run"]
