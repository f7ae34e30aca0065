"""No mixer's training step computes a dear function for every element of a broadcast."""

import jax
import pytest

from configs.atlas import MIXERS
from seqmodels.scaling.programs import language_model, model_section
from seqmodels.training.sharding import make_mesh
from tests.fusions import computed_again


@pytest.mark.parametrize("length", [64, 512])
@pytest.mark.parametrize("name", [*MIXERS, "transformer", "tcn", "separable", "hybrid", "griffin"])
def test_a_step_computes_functions_once(name, length):
    of = language_model(model_section(name, 32, 1, "float32", length), length, rows=6)
    state = jax.eval_shape(of.state)
    text = of.jit_step(make_mesh(1)).lower(state, of.batch()).compile().as_text()
    assert not computed_again(text)
