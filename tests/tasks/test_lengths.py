"""Lengths that are drawn for each step, and the programs that they take."""

import json
import shutil
from collections import Counter
from pathlib import Path

import jax
import pytest
from ml_collections import ConfigDict

from seqmodels.errors import ConfigError, ParameterError
from seqmodels.tasks import TASKS
from seqmodels.tasks.lengths import Lengths
from seqmodels.training.experiment import build_experiment
from seqmodels.training.fit import fit
from seqmodels.training.resolving import load_whole
from tests.command_line import ROOT, assert_same_end, end_of, events, tiny_config

KINDS = ("uniform", "powers", "curriculum")


def lengths(kind, shortest=8, task="parity", seed=0, **settings) -> Lengths:
    curriculum = 100 if kind == "curriculum" else None
    return Lengths(TASKS[task](seed, **settings), seed, 4, 64, kind, shortest, curriculum)


def drawn(of: Lengths, steps: int = 2000) -> Counter:
    return Counter(of.at(step) for step in range(steps))


def test_one_length():
    fixed = Lengths(TASKS["parity"](seed=0), 0, 4, 64)
    assert drawn(fixed, 10) == {64: 10}
    batch = fixed.batch(3)
    assert (batch.batch.mask, batch.length, batch.bucket) == (None, 64, 64)


@pytest.mark.slow
def test_uniform_lengths_are_each_as_likely():
    counts = drawn(lengths("uniform"), 57 * 100)
    assert set(counts) == set(range(8, 65))
    assert min(counts.values()) > 60
    assert max(counts.values()) < 140


def test_powers_are_each_as_likely():
    counts = drawn(lengths("powers"), 4000)
    assert set(counts) == {8, 16, 32, 64}
    assert min(counts.values()) > 900


def test_a_curriculum_rises():
    of = lengths("curriculum")
    assert of.at(0) == 8
    assert all(of.at(step) <= 8 + 56 * step / 99 for step in range(100))
    assert max(of.at(step) for step in range(40, 50)) > 20
    assert {of.at(step) for step in range(100, 2000)} == set(range(8, 65))


@pytest.mark.parametrize("kind", KINDS)
def test_a_length_follows_from_the_seed_and_the_step(kind):
    steps = range(200, 220)
    here, again, other = lengths(kind), lengths(kind), lengths(kind, seed=1)
    assert [here.at(n) for n in steps] == [again.at(n) for n in reversed(steps)][::-1]
    assert [here.at(n) for n in steps] != [other.at(n) for n in steps]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "task", ["parity", "modular_arithmetic", "delayed_copy", "listops", "copy_string", "set"]
)
def test_all_batches_of_a_bucket_have_one_shape(kind, task):
    """And the buckets are those that are stated, whatever lengths the task can make."""
    longest = 63 if task == "modular_arithmetic" else 64
    settings = {"delay": 4} if task == "delayed_copy" else {}
    steps = 100 if kind == "curriculum" else None
    of = Lengths(TASKS[task](0, **settings), 0, 4, longest, kind, 10, steps)
    shapes: dict[int, set] = {}
    for step in range(400):
        batch, length, bucket = of.batch(step)
        assert 10 <= length <= bucket <= longest
        assert batch.mask is not None
        assert not batch.mask[:, length:].any()
        shapes.setdefault(bucket, set()).add(tuple(x.shape for x in jax.tree.leaves(batch)))
    assert sorted(shapes) == list(of.buckets)
    assert len(of.buckets) <= 4
    assert all(len(of_bucket) == 1 for of_bucket in shapes.values())


def test_the_shortest_length_is_one_that_the_task_makes():
    of = lengths("powers", task="copy", pattern=10)
    assert (of.shortest, set(drawn(of))) == (20, {32, 64})
    assert of.describe() == "lengths 20 to 64, powers of two, in 2 programs"


def test_what_is_said_of_lengths():
    assert lengths("uniform").describe() == "lengths 8 to 64, drawn evenly, in 4 programs"
    assert lengths("uniform", 60).describe() == "lengths 60 to 64, drawn evenly, in 1 program"
    rising = "lengths 8 to 64, drawn up to a limit that rises for 100 steps, in 4 programs"
    assert lengths("curriculum").describe() == rising


def test_no_power_in_the_range():
    with pytest.raises(ParameterError, match=r"^lengths='powers': there is no power of two from 5"):
        Lengths(TASKS["parity"](seed=0), 0, 4, 7, "powers", 5)


def config(**train) -> ConfigDict:
    tiny = tiny_config(steps=12, length=16, evaluate_every=6, log_every=4).unlock()
    tiny.task.evaluation_examples = 16
    with tiny.train.ignore_type():
        tiny.train.update({"lengths": "uniform", "shortest": 5, **train})
    return tiny.lock()


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"shortest": None}, "shortest=None; lengths='uniform' needs it"),
        ({"lengths": None}, "shortest=5 is never read with lengths=None; leave it None"),
        ({"shortest": 0}, "shortest=0 is below 1"),
        ({"shortest": 17}, "shortest=17 is above length=16"),
        ({"lengths": "even"}, "lengths='even': TrainSettings wants one of 'uniform', 'powers', "),
        ({"lengths": "curriculum"}, "curriculum_steps=None; lengths='curriculum' needs it"),
        ({"curriculum_steps": 5}, "curriculum_steps=5 is never read with lengths='uniform'"),
        (
            {"lengths": "curriculum", "curriculum_steps": 13},
            "curriculum_steps=13 is above steps=12: the greatest length would never be reached",
        ),
        ({"truncate": 5}, "lengths='uniform' can't be cut into segments of truncate=5; set one "),
    ],
)
def test_refused(train, message):
    with pytest.raises(ConfigError) as caught:
        build_experiment(config(**train))
    assert str(caught.value).startswith(f"train.{message}")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("digits", ": the task makes no length from 8 to 63; set lengths and shortest to None"),
        ("digits_grid", " takes a task on sequences; this one is on grids, whose sides are its "),
        ("digits_from_class", " takes a task that reads a sequence; this one writes one from a "),
    ],
)
def test_tasks_of_one_length(file, message):
    of = load_whole(f"{ROOT}/configs/{file}.py").config.unlock()
    with of.train.ignore_type():
        of.train.update({"lengths": "uniform", "shortest": 8})
    with pytest.raises(ConfigError) as caught:
        build_experiment(of)
    assert str(caught.value).startswith(f"train.lengths='uniform'{message}")


@pytest.fixture
def compilations():
    """The names of what is compiled while a test runs."""
    names = []

    def note(event: str, seconds: float, fun_name: str = "", **_) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(fun_name)

    jax.monitoring.register_event_duration_secs_listener(note)
    yield names
    jax.monitoring.unregister_event_duration_listener(note)


@pytest.mark.slow
def test_a_run_compiles_a_program_for_each_bucket(compilations, capsys, tmp_path):
    """And continues bitwise where it stopped; and counts the tokens that are real."""
    of = build_experiment(config()).lengths
    fit(config(), tmp_path / "whole")
    output = capsys.readouterr().out
    assert "; lengths 5 to 16, drawn evenly, in 2 programs; compiling\n" in output
    for bucket in (8, 16):
        assert output.count(f"compiled for {bucket} positions in ") == 1
    # The step's two, and that of evaluation, which is always at train.length.
    assert compilations.count("jit(step)") == 3
    lines = (tmp_path / "whole/metrics.jsonl").read_text().splitlines()
    logged = [event for event in map(json.loads, lines) if event["split"] == "train"]
    for event, first in zip(logged, (0, 4, 8), strict=True):
        tokens = 8 * sum(of.at(step) for step in range(first, first + 4))
        ratio = event["tokens_per_second"] / event["steps_per_second"]
        assert ratio == pytest.approx(tokens / 4)

    stopped = Path(shutil.copytree(tmp_path / "whole", tmp_path / "stopped"))
    shutil.rmtree(stopped / "checkpoints/12")
    (stopped / "results.json").unlink()
    fit(config(), stopped)
    assert "continuing from step 6 in" in capsys.readouterr().out
    assert_same_end(stopped, end_of(tmp_path / "whole"))
    assert events(stopped, "train")[-1] == events(tmp_path / "whole", "train")[-1]
