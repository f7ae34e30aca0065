"""The diagonal recurrences against their references, in every form, also at 4,096 positions."""

import jax
import numpy as np
import pytest

from seqmodels.ops.diagonal_forms import DIAGONAL
from seqmodels.ops.state_spaces import CONSTANT, SELECTIVE
from tests.ops.test_diagonal_recurrence import OPS, check, error, joined, split

FORMS = {"selective": SELECTIVE.forms, "constant": CONSTANT.forms}


@pytest.mark.parametrize(
    ("name", "form"), [(name, form) for name in OPS for form in FORMS.get(name, DIAGONAL.forms)]
)
@pytest.mark.parametrize("length", [1, 7, 130, 4096])
def test_each_form_equals_the_reference(name, form, length):
    check(name, form, length, by_outputs=1e-5 if length < 4096 else 1e-4)


@pytest.mark.parametrize("name", OPS)
def test_a_stream_equals_the_reference(name):
    """10,000 positions, 1,000 at a time, each from the state that the last left."""
    arguments = {key: split(array) for key, array in OPS[name].arguments(10_000).items()}
    run = jax.jit(lambda given: OPS[name].fast(**given))
    state, outputs = arguments["state"], []

    def piece(start):
        def cut(a):
            return a[:, start : start + 1000] if a.ndim > 2 and a.shape[1] == 10_000 else a

        return jax.tree.map(cut, arguments) | {"state": state}

    for start in range(0, 10_000, 1000):
        y, state = run(piece(start))
        outputs.append(joined(jax.tree.map(np.asarray, y)))
    exact = {key: joined(parts) for key, parts in arguments.items()}
    rows = next(leaf for leaf in jax.tree.leaves(arguments["state"])).shape[0]
    wanted, last = OPS[name].plain(**exact, valid=np.ones((rows, 10_000), bool))
    assert error(np.concatenate(outputs, axis=1), wanted) <= 1e-4
    assert error(jax.tree.map(np.asarray, state), last) <= 1e-4
