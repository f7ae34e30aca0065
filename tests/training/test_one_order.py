"""Parts of a model that don't need each other: what devices send for them comes in one order."""

import jax
import numpy as np
import pytest

from seqmodels.model import build_model
from seqmodels.tasks.base import Batch, TaskSpec
from seqmodels.training.sharding import batch_shapes, make_mesh, traced_under, with_shardings
from tests.mixers.variants import WIDTH, build
from tests.ops.across import place, program
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
    lowered = jax.jit(traced_under(mesh, run)).lower(params, batch_shapes(batch, mesh))
    assert unordered(lowered.compile()) == []


@pytest.mark.slow
def test_gradients_that_nothing_forward_tells_come_after_it():
    """Of a loss that is linear in what both directions make."""
    mixer = build("bidirectional-lstm")
    x = jax.ShapeDtypeStruct((2, LENGTH, WIDTH), np.float32)
    mesh = make_mesh(8, 2, 2)
    given = place({"params": mixer.shapes, "x": x}, mesh, 2, LENGTH, abstract=True)

    def run(given):
        return mixer.call(given["params"], given["x"], None)

    assert unordered(program(run, mesh).lower(given).compile()) == []
