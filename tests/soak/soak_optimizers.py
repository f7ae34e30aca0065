"""Every optimizer, and every schedule, learns what the default does: digits, within 2 points.

33 runs of make train's length, 20 minutes of two idle cores. SOAK_RUNS=FOLDER keeps them there, and
goes on with what it holds.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ml_collections import ConfigDict
from rich.table import Table

from seqmodels.training.fit import fit
from seqmodels.training.optimizer import OPTIMIZERS
from seqmodels.training.resolving import load_whole
from seqmodels.training.schedules import SCHEDULES
from tests.command_line import ROOT

pytestmark = pytest.mark.optimised

POINTS = 0.02
RATES = {
    "lion": (1e-4, 3e-4, 1e-3),
    "sgd": (3e-2, 1e-1, 3e-1),
    "rmsprop": (3e-4, 1e-3, 3e-3),
}
"""Those of a kind; of all others USUAL_RATES."""
USUAL_RATES = (1e-3, 3e-3, 1e-2)
CASES: dict[str, dict[str, Any]] = {
    **{f"{kind}, its schedule": {"kind": kind} for kind in OPTIMIZERS},
    **{f"adamw, {kind}": {"schedule": {"kind": kind}} for kind in SCHEDULES if kind != "cosine"},
    "adamw, average": {"average": 0.99},
}


class Learned(NamedTuple):
    validation: float
    test: float
    rate: float


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """What the best rate of a case scores, chosen on validation."""
    folder = Path(os.environ.get("SOAK_RUNS") or tmp_path_factory.mktemp("digits"))

    @cache
    def run(name: str, rate: float) -> Learned:
        config = load_whole(f"{ROOT}/configs/digits.py").config.unlock()
        settings = ConfigDict({"learning_rate": rate, "warmup_steps": 50, **CASES[name]})
        config.optimizer = settings
        results = fit(config.lock(), folder / f"{name.replace(', ', '-')}-{rate:g}")
        return Learned(results["validation"]["accuracy"], results["test"]["accuracy"], rate)

    def best(name: str) -> list[Learned]:
        rates = RATES.get(CASES[name].get("kind", ""), USUAL_RATES)
        runs = [run(name, rate) for rate in rates]  # of equals the first, whatever they test
        return sorted(runs, key=lambda learned: learned.validation, reverse=True)

    return best


@pytest.mark.parametrize("name", CASES)
def test_digits_are_learned_as_by_the_default(name, learned, show):
    default, (found, *others) = learned("adamw, its schedule")[0], learned(name)
    table = Table("optimizer", "rate", "validation", "test", title=f"adamw: {default.test:.1%}")
    for one in (found, *others):
        table.add_row(name, f"{one.rate:g}", f"{one.validation:.1%}", f"{one.test:.1%}")
    show(table)
    assert found.test >= default.test - POINTS
