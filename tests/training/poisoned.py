"""Runs in which the losses of some steps are no number."""

import math
from collections.abc import Collection

import numpy as np
import pytest

from seqmodels.training import fit as fit_module
from seqmodels.training.programs import step_batch


def poison_losses(monkeypatch: pytest.MonkeyPatch, which: Collection[tuple[int, int]]) -> None:
    """Makes losses NaN, by how many steps are done and how often the run went back."""

    def poisoned(experiment, mesh, step, reversals):
        made = step_batch(experiment, mesh, step, reversals)
        factor = np.float32(math.nan if (step, reversals) in which else 1)
        return made._replace(batch=made.batch._replace(weights=made.batch.weights * factor))

    monkeypatch.setattr(fit_module, "step_batch", poisoned)
