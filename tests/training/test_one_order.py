"""Parts of a model that don't need each other: what devices send for them comes in one order."""

import jax
import numpy as np
import pytest

from seqmodels.model import build_model
from seqmodels.tasks.base import Batch, TaskSpec
from seqmodels.training.sharding import batch_shapes, make_mesh, traced_under, with_shardings
from tests.ops.ordering import unordered

ROWS, LENGTH, TOKENS = 4, 16, 8
STACK = {"depth": 1, "pattern": ("one",)}
ATTENTION = {"kind": "attention", "heads": 2}
BOTH_WAYS = {"kind": "bidirectional", "mixer": {"kind": "lstm"}}
READS = TaskSpec("many-to-many", "tokens", TOKENS, TOKENS, False, "accuracy", True)
WRITES = TaskSpec("sequence-to-sequence", "tokens", TOKENS, TOKENS, False, "accuracy", True)
MODELS = {
    "both directions": (READS, STACK | {"mixers": {"one": BOTH_WAYS}}),
    "encoder and decoder": (
        WRITES,
        {
            "encoder": STACK | {"mixers": {"one": ATTENTION | {"causal": False}}},
            "decoder": STACK | {"mixers": {"one": ATTENTION}},
            "cross": "scaled_dot",
            "cross_heads": 2,
        },
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_what_devices_send_comes_in_one_order(name):
    spec, section = MODELS[name]
    of = build_model({"width": 8} | section, spec)
    mesh = make_mesh(8, sequence=4)
    tokens = np.zeros((ROWS, LENGTH), np.int32)
    batch = Batch(tokens, tokens, np.ones(tokens.shape, np.float32))

    def run(params, batch):
        return jax.value_and_grad(lambda params: of.apply(params, batch, None).mean())(params)

    params = jax.eval_shape(lambda: of.init(jax.random.key(0)))
    params = with_shardings(params, of.parameters, mesh)
    program = jax.jit(traced_under(mesh, run)).lower(params, batch_shapes(batch, mesh)).compile()
    assert unordered(program) == []
