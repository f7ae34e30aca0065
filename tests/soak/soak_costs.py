"""What every choice of every config costs, against what its program computes."""

from seqmodels.training.experiment import build_experiment
from tests.model_costs import assert_counted
from tests.test_configs import (
    beside_own_files,  # noqa: F401
    every_choice,
    load,
    shallow,
    tasks_are_made_once,  # noqa: F401
)


@every_choice
def test_a_model_costs_what_its_program_computes(file, mixer):
    of = build_experiment(shallow(load(file, mixer)))
    assert_counted(of.model, of.task.batch("train", 0, 1, of.train.length))
