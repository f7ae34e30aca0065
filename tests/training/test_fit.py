"""The loop when it is disturbed, each time at a moment that the test chooses.

tests/test_train.py does the same to whole processes.
"""

import errno
import math
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from seqmodels.errors import ConfigError, DivergedError, UserError
from seqmodels.evaluation.runs import load
from seqmodels.report.reading import find
from seqmodels.stopping import SIGNALS
from seqmodels.sweeps.records import collect, read_records
from seqmodels.training.checkpoint import Checkpoints
from seqmodels.training.devices import require_forms, run_mesh
from seqmodels.training.divergence import Divergence
from seqmodels.training.experiment import build_experiment
from seqmodels.training.fit import fit
from seqmodels.training.interruption import RunInterruptedError
from seqmodels.training.metrics import MetricWriter
from seqmodels.training.moments import Moment, Observer
from seqmodels.training.programs import Programs
from seqmodels.training.workdir import Workdir
from tests.command_line import End, assert_same_end, end_of, events, read_json, tiny_config
from tests.moments import Refusing, at, terminate
from tests.sweeps.finished import finished_sweep
from tests.training.test_loggers import Package

pytestmark = pytest.mark.slow

STEPS = 12


def train(folder: Path, *observers: Observer, log_every: int = 2, **more: float) -> dict:
    """Two batches make a split; no step is logged, or evaluated, at which a signal stops."""
    config = tiny_config(steps=STEPS, evaluate_every=3, log_every=log_every)
    config.task.evaluation_examples = 16
    with config.ignore_type():
        config.train.update(more)
    return fit(config, folder, observers=observers)


TOLD: list[tuple[Moment, int]] = []
"""What an observer of the undisturbed run is told."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """In a thread, in a folder whose name is no formula, with nobody there to read what it says."""
    folder = tmp_path_factory.mktemp("undisturbed") / "$x^"
    with redirect_stdout(Refusing(errno.EPIPE)), ThreadPoolExecutor(1) as pool:
        pool.submit(train, folder, lambda *told: TOLD.append(told)).result()
    assert (folder / "learning-curve.png").exists()
    return folder


@pytest.fixture(scope="module")
def end(undisturbed) -> End:
    return end_of(undisturbed)


@pytest.fixture
def disturb(monkeypatch) -> Callable:
    """Makes a method do something besides, once, at the first call that fits."""

    def disturb_(owner: type, name: str, fits: Callable[..., bool], action: Callable) -> None:
        original, left = getattr(owner, name), [action]

        def method(self, *arguments, **keywords):
            if left and fits(*arguments):
                left.pop()()
            return original(self, *arguments, **keywords)

        monkeypatch.setattr(owner, name, method)

    return disturb_


MOMENTS = {
    "before it compiles": (("batch drawn", 1), 1),
    "while it compiles": (None, 2),
    "in a step that is evaluated next": (("step done", 3), 3),
    "in a step": (("step done", 5), 5),
    "in a save": (("save begun", 6), 7),
    "in an evaluation": (("evaluation", 9), 10),
}
"""When the signal comes to a run that goes on from the moment before, and where it stops."""


def test_a_signal_at_any_moment_loses_nothing(disturb, undisturbed, end, tmp_path):
    handlers = [signal.getsignal(number) for number in SIGNALS]

    def train_with_a_signal(where: tuple | None) -> None:
        if where is None:
            disturb(Programs, "compile", lambda state, of: True, terminate)
        try:
            train(tmp_path, *([at(*where, terminate)] if where else []))
        finally:
            assert handlers == [signal.getsignal(number) for number in SIGNALS]

    for moment, (where, stops_at) in MOMENTS.items():
        with pytest.raises(RunInterruptedError) as stop:
            train_with_a_signal(where)
        assert str(stop.value).startswith(f"interrupted at step {stops_at}, which is"), moment
        assert not (tmp_path / "results.json").exists(), moment
        assert (tmp_path / f"checkpoints/{stops_at}").is_dir(), moment
    train_with_a_signal(("save begun", STEPS))  # too late to stop it
    assert_same_end(tmp_path, end)
    train(tmp_path)
    assert_same_end(tmp_path, end)
    # Each line once and in order, and the means over the whole of what it stands for.
    assert events(tmp_path, "train") == events(undisturbed, "train")


def test_what_it_leaves_makes_a_line_of_a_sweeps_runs(undisturbed, tmp_path):
    folder = finished_sweep(tmp_path / "sweep", {"mixer=gru": [(0.01, 0, 0.9)]})
    (trial,) = (folder / "trials").iterdir()
    shutil.rmtree(trial)
    trial.symlink_to(undisturbed)
    assert collect(folder, tmp_path / "results.json") == {"added": 1, "runs": 1}
    (record,) = read_records(tmp_path / "results.json")
    results, facts, environment = (
        read_json(undisturbed / f"{name}.json") for name in ("results", "facts", "environment")
    )
    assert record["test"] == results["test"]["accuracy"]
    assert (record["cost"], record["chance"]) == (results["cost"], facts["chance"])
    assert record["versions"]["jax"] == environment["starts"][-1]["packages"]["jax"]


def test_observers_are_told_of_each_moment(undisturbed):
    in_thread = [told for told in TOLD if told[0] == "batch drawn"]
    assert sorted(in_thread) == [("batch drawn", step) for step in range(1, STEPS + 1)]
    expected: list[tuple[str, int]] = []
    for step in range(1, STEPS + 1):
        expected.append(("step done", step))
        if step % 3 == 0:
            before = [("save ended", step - 3)] if step > 3 else []
            expected += [("evaluation", step), *before, ("save begun", step)]
    last = [("save ended", STEPS), ("evaluation", STEPS), ("evaluation", STEPS), ("exit", STEPS)]
    assert [told for told in TOLD if told[0] != "batch drawn"] == expected + last


def interrupted() -> None:
    raise KeyboardInterrupt


def checkpoints_of(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_what_is_lost_is_done_again(disturb, undisturbed, end, tmp_path, capsys):
    """One run that goes wrong in five ways, and ends as if it had not."""

    def go_on(*observers: Observer) -> None:
        train(tmp_path, *observers, log_every=1)

    def signalled_twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    # A second signal stops at once.
    with pytest.raises(KeyboardInterrupt):
        go_on(at("step done", 5, signalled_twice))
    assert checkpoints_of(tmp_path) == ["3"]

    # An error in the background comes as its own line when its step is due, so that what is saved
    # before stays; and no thread is left over.
    def missing() -> None:
        raise UserError("rows/7.npy is missing")

    with pytest.raises(UserError, match=r"^rows/7.npy is missing$"):
        go_on(at("batch drawn", 8, missing))

    def unreadable() -> None:
        raise OSError(errno.EIO, "Input/output error", "rows/7.npy")

    with pytest.raises(UserError) as failed:
        go_on(at("batch drawn", 8, unreadable))
    where = (
        f"saved in {tmp_path}/checkpoints: 3, 6; once that is mended, the same command continues"
    )
    assert str(failed.value) == f"rows/7.npy: Input/output error, at step 7; {where}"
    assert checkpoints_of(tmp_path) == ["3", "6"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]

    # Damage to the latest checkpoint costs the steps since the one before. Killed just before the
    # results, the run writes its score down twice, and it must stand there once.
    for file in (tmp_path / "checkpoints/6/default/d").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    disturb(Workdir, "write", lambda name, content: name == "results.json", interrupted)
    capsys.readouterr()
    with pytest.raises(KeyboardInterrupt):
        go_on()
    output = capsys.readouterr().out
    assert re.search(r"^warning: checkpoint 6 is damaged \(.*\)$", output, re.MULTILINE)
    assert "\nwarning: falling back to checkpoint 3\ncontinuing from step 3 in " in output
    assert (tmp_path / "damaged-checkpoints/6").is_dir()
    assert len(events(tmp_path, "test")) == 1

    # A signal while it scores the best checkpoint comes too late to stop it.
    go_on(at("evaluation", STEPS, terminate, time=3))
    assert_same_end(tmp_path, end)

    # Logged at every step here and at every second one there: the means since the last event.
    single, double = events(tmp_path, "train"), events(undisturbed, "train")
    # Those that the updates had.
    rate = build_experiment(tiny_config(steps=STEPS)).optimizer.learning_rate
    rates = [float(rate(step)) for step in range(STEPS)]
    assert [event["learning_rate"] for event in single] == rates
    assert rates[1] == pytest.approx(2 * rates[0], rel=1e-6)
    assert [event["step"] for event in double] == [2, 4, 6, 8, 10, 12]
    for event, first, second in zip(double, single[::2], single[1::2], strict=True):
        for name in ("loss", "accuracy", "gradient_norm"):
            assert event[name] == pytest.approx((first[name] + second[name]) / 2, rel=1e-5)
        assert event["learning_rate"] == second["learning_rate"]


def test_a_run_that_saves_by_time_loses_little_and_ends_as_without(undisturbed, end, tmp_path):
    """Each save is so long ago that the next is due; a run may go on with other times."""
    often = {"save_every_seconds": 1e-9, "keep": 3, "keep_every": 6}
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, at("step done", 11, interrupted), **often)
    assert {"6", "8", "9", "10"} <= set(checkpoints_of(tmp_path))
    train(tmp_path, save_every_seconds=1e9, watchdog_seconds=100.0)
    assert_same_end(tmp_path, end)
    assert events(tmp_path, "train") == events(undisturbed, "train")


def test_the_latest_checkpoint_is_the_last_good_one(tmp_path):
    """In the message of a run that diverges; the report tells it from an unfinished one."""
    workdir = Workdir(tmp_path)
    workdir.open_for(tiny_config())
    writer = MetricWriter(workdir.metrics, 0)
    for step in ("4", "8"):
        (workdir.checkpoints / step).mkdir(parents=True)
    spec = ("accuracy", True, print, True)
    checkpoints = Checkpoints(workdir.checkpoints, *spec)
    message = r"^the loss is nan at step 9; the last good checkpoint is step 8 \(.*/checkpoints\)"
    divergence = Divergence(build_experiment(tiny_config()).train, checkpoints, print)
    with pytest.raises(DivergedError, match=message):
        divergence.require_finite(9, "loss", math.nan, writer)
    writer.close()
    (found,) = find([str(tmp_path)], pytest.fail).runs
    assert found.state == ("failed: the loss or its gradient stopped being finite at step 9",)
    writer = MetricWriter(workdir.metrics, 8)
    writer.write(10, "diverged", {"loss": 7.0, "gradient_norm": 1.0})
    writer.close()
    (found,) = find([str(tmp_path)], pytest.fail).runs
    assert found.state == ("failed: the loss was a spike at step 10",)
    MetricWriter(workdir.metrics, 8).close()  # it continues from a step before
    (found,) = find([str(tmp_path)], pytest.fail).runs
    assert found.state == (f"unfinished: step 0 of {tiny_config().train.steps}",)


def test_results_are_those_of_the_best_checkpoint(undisturbed):
    results = read_json(undisturbed / "results.json")
    best = max(events(undisturbed, "validation"), key=lambda e: (e["accuracy"], e["step"]))
    assert results["best_step"] == best["step"]
    assert results["validation"].items() <= best.items()
    assert results["steps"] == STEPS
    cost = results["cost"]
    assert cost["step_bytes"] > 4 * results["parameters"]
    assert cost["state_bytes"] == 4 * 16  # a GRU's
    assert 0 < cost["step_seconds"] < results["seconds"]
    assert cost["decode_seconds"] is None, "the run was a short one"
    assert cost["machine"]["sharing"] == 1


def test_a_form_that_can_not_serve_is_refused_before_anything_is_written(tmp_path):
    config = tiny_config().unlock()
    config.model.pattern = ("near",)
    mixer = {"kind": "attention", "window": 4, "heads": 2}
    for form, why in (("local", None), ("cudnn", "it runs on cuda, and this is for cpu; take 'wh")):
        config.model.mixers = ConfigDict({"near": {**mixer, "form": form}})
        experiment = build_experiment(config)
        if why is None:
            require_forms(config.model, experiment, run_mesh(experiment))
        else:
            said = f"^model.mixers.near.form='{form}' can't serve .*: {why}"
            with pytest.raises(ConfigError, match=said):
                fit(config, tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_the_forms_that_computed_it_are_among_what_it_decided(undisturbed):
    decided = read_json(undisturbed / "config.json")["decided"]
    assert decided["forms"] == {"recurrence": ["steps"]}


def test_the_best_checkpoint_is_scored_where_the_last_is_another(monkeypatch, tmp_path):
    scores, scored = iter([0.5, 0.9, 0.1, 0.3, 0.9, 0.7]), []

    def scripted(step, params, *_):
        scored.append([np.array(leaf).tobytes() for leaf in jax.tree.leaves(params)])
        return {"loss": 1.0, "accuracy": next(scores)}

    monkeypatch.setattr("seqmodels.training.fit.evaluate", scripted)
    results = train(tmp_path)
    assert (results["best_step"], results["steps"]) == (6, STEPS)
    assert (results["validation"]["accuracy"], results["test"]["accuracy"]) == (0.9, 0.7)
    _, best, _, last, *again = scored
    assert again == [best, best]
    assert best != last


def test_a_run_ends_by_its_scores_and_scores_the_average(monkeypatch, tmp_path):
    """Killed between its last save and its results, it goes on to them without another step."""
    scores, scored = iter([0.5, 0.9, 0.9, 0.8, 0.9, 0.7]), []

    def scripted(step, params, *_):
        scored.append([np.array(leaf).tobytes() for leaf in jax.tree.leaves(params)])
        return {"loss": 1.0, "accuracy": next(scores)}

    monkeypatch.setattr("seqmodels.training.fit.evaluate", scripted)
    config = tiny_config(steps=15, evaluate_every=3, log_every=5, patience=2)
    with config.ignore_type():
        config.optimizer.average = 0.5
    logger = Package("trackio")
    monkeypatch.setitem(sys.modules, "trackio", logger.module)
    stop = at("evaluation", 12, interrupted, time=2)
    with pytest.raises(KeyboardInterrupt):
        fit(config, tmp_path, observers=[stop], log=["trackio"])
    told = []
    keep = told.append
    results = fit(config, tmp_path, observers=[lambda *moment: keep(moment)], log=["trackio"])
    first, second = (call["name"] for call in logger.named("init"))
    logged = read_json(tmp_path / "config.json")["decided"]["logged"]
    assert {first, second} == {logged["trackio"]}
    assert ("step done", 13) not in told
    assert [(results[name]) for name in ("ended", "steps", "best_step")] == ["patience", 12, 9]
    assert results["test"]["accuracy"] == 0.7
    assert [event["step"] for event in events(tmp_path, "train")] == [5, 10, 12]
    assert [event["step"] for event in events(tmp_path, "validation")] == [3, 6, 9, 12]
    assert scored[4] == scored[5] == scored[2], "the average at the best step"
    params = load(tmp_path).params
    assert scored[2] == [np.array(leaf).tobytes() for leaf in jax.tree.leaves(params)]
