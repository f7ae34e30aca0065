"""Our rounds of Newton's method against those of their paper's code (make_newton.py)."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.ops import newton
from seqmodels.ops.cells import GRU
from tests.goldens.stored import Recorded, distance


@pytest.mark.parametrize("kind", get_args(newton.Linearisation))
def test_each_round_improves_a_guess_as_theirs_does(kind, monkeypatch):
    case = Recorded("newton", kind)
    monkeypatch.setattr(newton, "TRUST", float(case.settings["variance"]))
    x, weights, bias, h0 = (jnp.asarray(case.inputs[n]) for n in ("x", "weights", "bias", "h0"))
    problem = (GRU, x[None], weights, bias, (h0[None],), None)
    improve = jax.jit(lambda guess: newton.improved(problem, guess, kind))
    rounds = case.outputs["rounds"]
    for guess, expected in zip([np.zeros_like(rounds[0]), *rounds], rounds, strict=False):
        assert distance(improve(guess[None])[0], expected) < 1e-5
