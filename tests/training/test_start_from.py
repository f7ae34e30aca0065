"""Runs that start from other runs' parameters."""

import jax
import numpy as np
import pytest

from seqmodels import export, fit, load
from seqmodels.errors import ConfigError, UserError
from seqmodels.training.experiment import build_experiment
from seqmodels.training.facts import keep_facts
from seqmodels.training.parameter_files import digest, named, named_arrays
from seqmodels.training.sharding import make_mesh
from seqmodels.training.start_from import read_start
from seqmodels.training.step import initial_state
from seqmodels.training.workdir import Workdir
from tests.command_line import read_json, tiny_config
from tests.moments import at, terminate
from tests.run_folders import STEP, write_run


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A run of the tiny model, with learned positions for 16 tokens."""
    folder = tmp_path_factory.mktemp("source")
    write_run(config(), folder)
    return folder


def config(start_from=None, leave_out=None, length=8, **model):
    """The tiny model's; with other settings of its model section."""
    made = tiny_config(steps=12, evaluate_every=6, length=length)
    with made.ignore_type():
        made.train.start_from = None if start_from is None else str(start_from)
        made.train.leave_out = leave_out
        made.model.update({"positions": "learned", "max_length": 16} | model)
    return made


def start_of(made, folder):
    return read_start(build_experiment(made), Workdir(folder), make_mesh(1))


def same(params, others) -> list[str]:
    """The names of parameters that two trees have alike."""
    ours, theirs = named(params), named(others)
    return [name for name in ours if name in theirs and np.array_equal(ours[name], theirs[name])]


@pytest.mark.slow
def test_the_first_parameters_are_the_others_at_any_length(source, tmp_path):
    theirs = load(source, devices=1).params
    longer = config(source, length=16)
    start = start_of(longer, tmp_path)
    assert start is not None
    assert same(start.params, theirs) == list(named(theirs))
    assert start.record == {"of": str(source), "step": STEP, "digest": digest(named_arrays(theirs))}
    file = tmp_path / "model.safetensors"
    export(source, file)
    of_file = start_of(config(file), tmp_path)
    assert of_file.record == {"of": str(file), "step": None, "digest": start.record["digest"]}
    experiment = build_experiment(longer)
    state = initial_state(experiment.model, experiment.optimizer, 0, start.params)
    assert same(state.params, theirs) == list(named(theirs))


@pytest.mark.slow
def test_what_does_not_fit_is_named_and_may_be_left_out(source, tmp_path):
    with pytest.raises(ConfigError) as caught:
        start_of(config(source, max_length=32), tmp_path)
    assert str(caught.value) == (
        f"train.start_from={source}: embedding.learned is float32[16, 16] there and float32[32, 16]"
        " here; name it in train.leave_out to draw it anew"
    )
    drawn = config(source, "embedding.learned", max_length=32)
    start = start_of(drawn, tmp_path)
    theirs = load(source, devices=1).params
    own = jax.jit(build_experiment(drawn).model.init)(jax.random.key(0))
    assert same(start.params, theirs) == [n for n in named(own) if n != "embedding.learned"]
    assert "embedding.learned" in same(start.params, own)
    with pytest.raises(
        ConfigError, match=r"embedding.learned is float32.* there and missing here; .*"
    ):
        start_of(config(source, positions="none", max_length=None), tmp_path)
    without = config(source, ("embedding.learned",), positions="none", max_length=None)
    assert start_of(without, tmp_path) is not None
    with pytest.raises(ConfigError, match=r"blocks.1.mixer.* is missing there .*don't fit"):
        start_of(config(source, depth=2), tmp_path)
    with pytest.raises(
        ConfigError, match=r"leave_out='embeding.learned' names no parameter; did you"
    ):
        start_of(config(source, "embeding.learned"), tmp_path)


def test_what_can_not_be_started_from_is_refused(source, tmp_path):
    with pytest.raises(UserError, match=r"train.start_from=nowhere: workdir=nowhere holds no run"):
        start_of(config("nowhere"), tmp_path)
    with pytest.raises(
        UserError, match=r"train.start_from=x.safetensors: x.safetensors: no such file"
    ):
        start_of(config("x.safetensors"), tmp_path)
    with pytest.raises(
        ConfigError, match=r"train.leave_out='head' is never read with start_from=None"
    ):
        build_experiment(config(None, "head"))


@pytest.mark.slow
def test_others_than_it_began_with_are_refused(source, tmp_path):
    made = config(source)
    run = Workdir(tmp_path / "run")
    run.open_for(made)
    start = start_of(made, run.path)
    keep_facts(build_experiment(made), run, None, start.record)
    assert read_json(run.path / "facts.json")["start_from"] == start.record
    assert start_of(made, run.path).record == start.record
    run.write("facts.json", run.facts() | {"start_from": start.record | {"digest": "0" * 64}})
    with pytest.raises(UserError, match=r"holds other parameters than when .* began .*then 00000"):
        start_of(made, run.path)


@pytest.mark.slow
def test_a_run_that_goes_on_reads_nothing_of_it(source, tmp_path, capsys):
    """Stopped after its first checkpoint, it ends as one that wasn't, though the source is gone."""
    file = tmp_path / "model.safetensors"
    export(source, file)
    made = config(file)
    made.task.evaluation_examples = 16
    whole = fit(made, tmp_path / "whole")
    assert f"starting from the parameters of {file}\n" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"interrupted at step 2"):
        fit(made, tmp_path / "stopped", observers=[at("step done", 2, terminate)])
    file.unlink()
    again = fit(made, tmp_path / "stopped")
    assert again["test"] == whole["test"]
    one, two = (load(tmp_path / name, "latest", devices=1).params for name in ("whole", "stopped"))
    assert same(one, two) == list(named(one))
