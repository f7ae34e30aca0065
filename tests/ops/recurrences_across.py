"""The recurrences as functions of one dictionary, and their arguments, for meshes."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np

from seqmodels.ops.slstm import slstm
from tests.ops import test_diagonal_recurrence as diagonal
from tests.ops import test_matrix_state as matrix
from tests.ops import test_recurrence as nonlinear
from tests.ops import test_slstm

ROWS = 2


class Case(NamedTuple):
    """An operation on some arguments."""

    run: Callable[[str | None, dict[str, Any]], Any]
    """By a form, of arguments with ``valid`` among them, or None."""
    arguments: Callable[[int], dict[str, Any]]
    """Of a length, of ROWS rows."""
    forms: tuple[str, ...]


def _diagonal(name: str, forms: tuple[str, ...], **settings: Any) -> Case:
    op = diagonal.OPS[name]

    def run(form, given):
        return op.fast(**given, form=form, **settings)

    def arguments(length):
        made = {key: diagonal.split(array) for key, array in op.arguments(length).items()}
        rows = diagonal.ROWS
        made = jax.tree.map(lambda x: x[:ROWS] if x.shape[0] == rows else x, made)
        return made | {"valid": diagonal.mask(length)[:ROWS]}

    return Case(run, arguments, forms)


def _matrix(name: str) -> Case:
    return Case(
        partial(matrix.run, name),
        partial(matrix.arguments, name),
        tuple(matrix.FORMS[matrix.CASES[name][0]]),
    )


def _nonlinear(name: str) -> Case:
    op = nonlinear.OPS[name]

    def run(form, given):
        return op.run(given, given["valid"], form)

    def arguments(length):
        made = op.arguments(length)
        made = {k: v for k, v in made.items() if v is not None}
        for key in ("inputs", "state"):
            made[key] = jax.tree.map(lambda x: x[:ROWS], made[key])
        return made | {"valid": diagonal.mask(length)[:ROWS]}

    return Case(run, arguments, ("steps", "newton", "quasi", "damped"))


def _slstm() -> Case:
    def run(form, given):
        h, c, n, m = given["state"]
        return slstm(given["inputs"], given["weights"], (h, c, n, m), given["valid"], form)

    def arguments(length):
        made = test_slstm.arguments()
        random = np.random.default_rng(length)
        shape = (ROWS, length, *made["inputs"].shape[2:])
        made["inputs"] = random.normal(size=shape).astype(np.float32)
        made["state"] = (*made["state"], np.zeros_like(made["state"][0]))
        return made | {"valid": diagonal.mask(length)[:ROWS]}

    return Case(run, arguments, ("steps",))


SCANS = ("sequential", "chunked", "associative")
CASES = {
    "real": _diagonal("real", SCANS),
    "complex": _diagonal("complex", SCANS),
    "complex at each": _diagonal("complex at each", SCANS),
    "selective": _diagonal("selective", SCANS),
    "selective from -1": _diagonal("selective", SCANS, negative=True),
    "constant": _diagonal("constant", (*SCANS, "products")),
    **{name: _matrix(name) for name in matrix.CASES},
    **{name: _nonlinear(name) for name in nonlinear.OPS},
    "slstm": _slstm(),
}


@cache
def function(name: str, form: str | None) -> Any:
    """A case by a form; the same object each time, so that it is compiled once."""
    return partial(CASES[name].run, form)
