"""Chunks with a carried state score what whole sequences do, wherever positions come from."""

import jax
import numpy as np
import pytest

from seqmodels.evaluation.scoring import chunked_scorer, whole_scorer
from seqmodels.model import build_model
from seqmodels.tasks.base import Batch, TaskSpec, classification_metrics
from seqmodels.tasks.generated.task import GeneratedTask
from seqmodels.training.sharding import make_mesh
from tests.drawn_parameters import draw_parameters

LENGTH = 37  # neither a multiple of the chunk nor one of the spread
SPEC = TaskSpec("many-to-many", "tokens", 8, 5, True, "accuracy", True)
MIXERS = {
    "scaled": {"kind": "attention", "heads": 2, "rotary_scaling": "linear", "trained_length": 9},
    "spread": {"kind": "attention", "heads": 2, "position_range": 300},
    "window": {"kind": "attention", "heads": 2, "window": 4},
    "lstm": {"kind": "lstm"},
}


class Labels(GeneratedTask):
    """A label at every position; nothing is drawn."""

    spec = SPEC
    metrics = staticmethod(classification_metrics)


@pytest.mark.slow
def test_positions_that_are_scaled_spread_or_learned_are_those_of_the_whole():
    """By each row's own length: not by the room of whole chunks, for which too few are learned."""
    section = {"width": 8, "depth": 4, "pattern": tuple(MIXERS), "mixers": MIXERS}
    model = build_model(section | {"positions": "learned", "max_length": LENGTH}, SPEC)
    task = Labels(seed=0, evaluation_examples=1)
    params, mesh, random = draw_parameters(model), make_mesh(1), np.random.default_rng(0)
    inputs, targets = random.integers(0, (8, 5), (4, LENGTH, 2)).astype(np.int32).transpose(2, 0, 1)
    mask = np.arange(LENGTH)[None] < np.array([[37], [20], [16], [3]])
    batch = Batch(inputs, targets, mask.astype(np.float32), mask)
    whole = whole_scorer(model, task, mesh, True)(params, batch)
    chunks = chunked_scorer(model, task, mesh, True, 16)(params, batch)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), chunks, whole)
