"""The loop when it is disturbed, each time at a moment that the test chooses.

tests/test_train.py does the same to whole processes, at moments that it can't choose.
"""

import math
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from seqmodels.errors import DivergedError, UserError
from seqmodels.experiment import build_experiment
from seqmodels.tasks import Copy
from seqmodels.training.checkpoint import Checkpoints
from seqmodels.training.fit import _Run, fit
from seqmodels.training.interruption import RunInterruptedError
from seqmodels.training.profiling import StepTrace
from seqmodels.training.programs import Programs
from seqmodels.training.workdir import Workdir
from tests.command_line import assert_same_end, events, read_json, tiny_config

pytestmark = pytest.mark.slow

STEPS = 12


def train(folder: Path) -> dict:
    return fit(tiny_config(steps=STEPS, evaluate_every=4, log_every=2), folder)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    train(folder)
    return folder


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


def in_batch(split: str, step: int) -> tuple:
    """When a whole batch is made: while the run starts or evaluates."""
    return Copy, "batch", lambda s, number, rows, length: (s, number, rows) == (split, step, 8)


def in_step(step: int) -> tuple:
    """When a step is about to be dispatched, that many being done."""
    return StepTrace, "before", lambda number: number == step


def in_save(step: int) -> tuple:
    """When the checkpoint of a step begins to be written."""
    return Checkpoints, "save", lambda state, number, metrics: number == step


MOMENTS = {
    "before it compiles": (in_batch("train", 0), 1),
    "while it compiles": ((Programs, "compile", lambda state, of: True), 1),
    "in a step": (in_step(5), 6),
    "in a step that is evaluated next": (in_step(3), 4),
    "in an evaluation": (in_batch("validation", 3), 5),
    "in a save": (in_save(4), 5),
    "in the last save": (in_save(STEPS), None),
    "while it scores the best checkpoint": (in_batch("test", 0), None),
}
"""When the signal comes, and the step that the run stops at; None where it finishes first."""


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_loses_nothing(disturb, undisturbed, tmp_path, moment):
    where, stops_at = MOMENTS[moment]
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    disturb(*where, lambda: signal.raise_signal(signal.SIGTERM))
    if stops_at is not None:
        with pytest.raises(RunInterruptedError, match=f"^interrupted at step {stops_at}, which is"):
            train(tmp_path)
        assert not (tmp_path / "results.json").exists()
        assert (tmp_path / f"checkpoints/{stops_at}").is_dir()
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    train(tmp_path)
    assert_same_end(tmp_path, undisturbed)


def test_a_second_signal_stops_at_once(disturb, undisturbed, tmp_path):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    disturb(*in_step(6), twice)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["4"]
    train(tmp_path)
    assert_same_end(tmp_path, undisturbed)


def test_an_error_in_the_background_comes_as_its_own_line(monkeypatch, undisturbed, tmp_path):
    """When its step is due, so that what is saved before stays; and no thread is left over."""
    batch = Copy.batch

    def missing(self, split, step, *arguments):
        if (split, step) == ("train", 6):
            raise UserError("rows/6.npy is missing")
        return batch(self, split, step, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Copy, "batch", missing)
        with pytest.raises(UserError, match=r"^rows/6.npy is missing$"):
            train(tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["4"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]
    train(tmp_path)
    assert_same_end(tmp_path, undisturbed)


def test_killed_just_before_the_results(disturb, undisturbed, tmp_path):
    """The score is written down twice then, and must stand there once."""

    def killed():
        raise KeyboardInterrupt

    disturb(Workdir, "write", lambda name, content: name == "results.json", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path)
    assert len(events(tmp_path, "test")) == 1
    train(tmp_path)
    assert_same_end(tmp_path, undisturbed)


def test_the_metrics_are_the_means_since_the_last_event(undisturbed, tmp_path):
    """Logged at every step and at every second one."""
    fit(tiny_config(steps=STEPS, evaluate_every=12, log_every=1), tmp_path)
    single, double = events(tmp_path, "train"), events(undisturbed, "train")
    # Those that the updates had: the first step of a warm-up has none.
    rate = build_experiment(tiny_config(steps=STEPS)).optimizer.learning_rate
    rates = [float(rate(step)) for step in range(STEPS)]
    assert [event["learning_rate"] for event in single] == rates
    assert rates[0] == 0 < rates[1]
    assert [event["step"] for event in double] == [2, 4, 6, 8, 10, 12]
    for event, first, second in zip(double, single[::2], single[1::2], strict=True):
        for name in ("loss", "accuracy", "gradient_norm"):
            assert event[name] == pytest.approx((first[name] + second[name]) / 2, rel=1e-5)
        assert event["learning_rate"] == second["learning_rate"]


def test_the_latest_checkpoint_is_the_last_good_one():
    """In the message of a run that diverges, of which the first would be far behind."""
    checkpoints = SimpleNamespace(wait=lambda: None, steps=lambda: [4, 8])
    run = SimpleNamespace(checkpoints=checkpoints, workdir=Workdir("runs/x"))
    message = r"^the loss is nan at step 9; the last good checkpoint is step 8 \(runs/x/checkpoints"
    with pytest.raises(DivergedError, match=message):
        _Run._require_finite(run, 9, "loss", math.nan)


def test_results_are_those_of_the_best_checkpoint(undisturbed):
    results = read_json(undisturbed / "results.json")
    best = max(events(undisturbed, "validation"), key=lambda e: (e["accuracy"], e["step"]))
    assert results["best_step"] == best["step"]
    assert results["validation"].items() <= best.items()
    assert results["steps"] == STEPS


def test_the_best_checkpoint_is_scored_where_the_last_is_another(monkeypatch, tmp_path):
    scores, scored = iter([0.5, 0.9, 0.1, 0.9, 0.7]), []

    def scripted(step, params, *_):
        scored.append([np.array(leaf).tobytes() for leaf in jax.tree.leaves(params)])
        return {"loss": 1.0, "accuracy": next(scores)}

    monkeypatch.setattr("seqmodels.training.fit.evaluate", scripted)
    results = train(tmp_path)
    assert (results["best_step"], results["steps"]) == (8, STEPS)
    assert (results["validation"]["accuracy"], results["test"]["accuracy"]) == (0.9, 0.7)
    _, best, last, *again = scored
    assert again == [best, best]
    assert best != last
