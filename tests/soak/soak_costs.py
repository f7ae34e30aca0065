"""What every choice of every config costs, against what its program computes; and every form."""

import importlib
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import pytest

from seqmodels import ops
from seqmodels.flops import count_flops
from seqmodels.ops.forms import Operation, chosen_forms
from seqmodels.training.experiment import build_experiment
from tests.mixers.variants import CASES, make, pure
from tests.model_costs import assert_counted
from tests.test_configs import (
    beside_own_files,  # noqa: F401
    every_choice,
    load,
    shallow,
    tasks_are_made_once,  # noqa: F401
)

WIDTH, LENGTH = 64, 256
FOLDER = Path(ops.__path__[0])
MODULES = [
    ".".join((ops.__name__, *file.relative_to(FOLDER).with_suffix("").parts))
    for file in sorted(FOLDER.rglob("*.py"))
    if file.name != "__init__.py"
]
OPERATIONS = {
    value.name: value
    for module in MODULES
    for value in vars(importlib.import_module(module)).values()
    if isinstance(value, Operation)
}


@every_choice
def test_a_model_costs_what_its_program_computes(file, mixer):
    of = build_experiment(shallow(load(file, mixer)))
    assert_counted(of.model, of.task.batch("train", 0, 1, of.train.length))


def counted(name: str, operation: str = "", form: str = "") -> tuple[int, dict[str, list[str]]]:
    """A variant's FLOPs with a form of an operation wherever it serves, and the forms taken."""
    choose = Operation.choose

    def chosen(self: Operation, *arguments: Any, **named: Any) -> str:
        if self.name == operation and self.refusal(form, *arguments) is None:
            return form
        return choose(self, *arguments, **named)

    mixer = pure(*CASES[name], width=WIDTH)
    x = jax.ShapeDtypeStruct((1, LENGTH, WIDTH), jnp.float32)
    with mock.patch.object(Operation, "choose", chosen), chosen_forms() as taken:
        return count_flops(mixer.call, mixer.shapes, x), taken


@pytest.mark.parametrize("name", CASES)
def test_each_form_prints_what_it_spends(name, show):
    """Over what the mathematics needs: scores that a mask throws away, padding, merging.

    A form may also spend less than a recurrence step by step.
    """
    needed = make(*CASES[name], width=WIDTH).cost(LENGTH).flops
    _, usual = counted(name)
    for operation, (chosen, *_) in usual.items():
        for form in OPERATIONS[operation].forms:
            spent, taken = counted(name, operation, form)
            if form in taken[operation]:
                mark = " (chosen)" if form == chosen else ""
                show(f"{name}, {operation}: {form}{mark} {spent / needed:.2f}")
                assert spent > 0
