"""Whole runs by train.py: finished, stopped and killed, in processes of their own; gone wrong."""

import re
import shlex
import signal
from pathlib import Path

import pytest

from seqmodels.training.profiling import StepTrace
from tests.command_line import (
    QUICKLY,
    STEPS,
    assert_same_end,
    call,
    end_of,
    events,
    finish,
    last_state,
    read_json,
    start,
    train_command,
)

EVALUATE_EVERY = 40


def command(workdir: Path) -> list[str]:
    return train_command(workdir, f"--config.train.evaluate_every={EVALUATE_EVERY}")


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """For compiled programs: the first run fills it, the others read it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache) -> tuple[Path, str]:
    """The folder of a run that nothing disturbed, and its output."""
    workdir = tmp_path_factory.mktemp("runs") / "undisturbed"
    code, output, errors = finish(start(command(workdir), cache, **QUICKLY))
    assert (code, errors) == (0, "")
    return workdir, output


@pytest.mark.slow
def test_a_run_leaves_all_that_is_needed(finished):
    workdir, output = finished
    names = {path.name for path in workdir.iterdir() if not path.name.startswith("events.out")}
    assert names == {
        "checkpoints",
        "config.json",
        "environment.json",
        "facts.json",
        "learning-curve.png",
        "metrics.jsonl",
        "results.json",
    }
    assert len(list(workdir.glob("events.out.tfevents.*"))) == 1
    assert read_json(workdir / "config.json")["train"]["steps"] == STEPS
    (started,) = read_json(workdir / "environment.json")["starts"]
    assert started["command"].startswith("python train.py --config")
    steps = [event["step"] for event in events(workdir, "train")]
    assert steps == list(range(5, STEPS + 1, 5))
    validations = events(workdir, "validation")
    assert [event["step"] for event in validations] == list(
        range(EVALUATE_EVERY, STEPS + 1, EVALUATE_EVERY)
    )
    results = read_json(workdir / "results.json")
    best = max(validations, key=lambda event: (event["accuracy"], event["step"]))
    assert results["best_step"] == best["step"]
    assert results["validation"]["accuracy"] == best["accuracy"]
    assert results["chance"] == 0.125
    assert results["test"]["accuracy"] > 0.2
    kept = {int(path.name) for path in (workdir / "checkpoints").iterdir()}
    assert kept == {STEPS, STEPS - EVALUATE_EVERY, best["step"]}
    assert (
        f", chance 0.125 (best checkpoint, step {best['step']}); the run lies in {workdir}"
        in output
    )


@pytest.mark.slow
def test_a_run_says_what_it_costs_and_how_far_it_is(finished):
    output = finished[1]
    number = r"[\d.,e+-]+"
    assert re.search(rf"{number} parameters, {number} MFLOPs a token", output)
    assert re.search(rf"compiled in {number} s; a step takes {number} MiB", output)
    line = rf"^step 5/{STEPS}  loss {number}  accuracy {number}  steps/s {number}  tokens/s"
    assert re.search(line, output, re.MULTILINE)
    assert re.search(rf"^validation at step 40: accuracy {number}$", output, re.MULTILINE)


@pytest.mark.slow
def test_the_same_command_again_changes_nothing(finished):
    workdir = finished[0]
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    message = f"{workdir} is finished (results.json); choose another folder to train again\n"
    assert call(*command(workdir)) == (0, message, "")
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("*")} == before


@pytest.mark.slow
def test_a_run_killed_and_stopped_ends_as_if_never_disturbed(
    finished, cache, tmp_path, monkeypatch
):
    """Killed while it compiles and while a checkpoint is half written; then stopped twice.

    The run itself sends the signal, so that the moment does not depend on the machine's load
    (tests/soak/soak_train.py sends it from outside). The rest is done in this process.
    """
    workdir = tmp_path / "disturbed run"

    def strike(number: signal.Signals, moment: str) -> tuple[int, str, str]:
        disturbed = ["-m", "tests.training.disturbed_run", number.name, moment]
        return finish(start([*disturbed, *command(workdir)], cache, **QUICKLY))

    def assert_stopped(result: tuple[int, str, str], number: signal.Signals, at: int) -> list[str]:
        """Returns the command that continues."""
        code, output, errors = result
        assert code == 128 + number
        said = re.fullmatch(
            r"train.py: interrupted at step (\d+), which is saved; continue with: python (.*)\n",
            errors,
        )
        assert said is not None, errors
        assert int(said[1]) == last_state(workdir)[0] == at
        assert "warning" not in output
        assert not (workdir / "results.json").exists()
        return shlex.split(said[2])

    for moment in ("compiling", "saving 80"):
        code, output, _ = strike(signal.SIGKILL, moment)
        assert code == -signal.SIGKILL, moment
        assert "warning" not in output
        assert not (workdir / "results.json").exists()
    assert any("tmp" in path.name for path in (workdir / "checkpoints").iterdir())
    again = assert_stopped(strike(signal.SIGTERM, "step 105"), signal.SIGTERM, 106)
    with monkeypatch.context() as patched:
        before = StepTrace.before

        def interrupt(trace: StepTrace, step: int) -> None:
            if step == 147:
                signal.raise_signal(signal.SIGINT)
            before(trace, step)

        patched.setattr(StepTrace, "before", interrupt)
        again = assert_stopped(call(*again), signal.SIGINT, 148)
    code, output, errors = call(*again)
    assert (code, errors) == (0, "")
    assert f"continuing from step 148 in {workdir}\n" in output
    assert "warning" not in output
    assert_same_end(workdir, end_of(finished[0]))


# The first update is a good one, with the peak; the second is on the way to a rate of 1e33.
DIVERGING = (
    "--config.optimizer.learning_rate=1e-3",
    "--config.optimizer.warmup_steps=1",
    "--config.optimizer.final_learning_rate=1e33",
    "--config.optimizer.clip_norm=None",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("evaluate_every", "message"),
    [
        (20, "train.py: the loss is nan at step 3; none was saved (CHECKPOINTS). "),
        (
            1,
            "train.py: the validation loss is nan at step 2; "
            "the last good checkpoint is step 1 (CHECKPOINTS). ",
        ),
    ],
)
def test_a_run_that_diverges_stops(tmp_path, evaluate_every, message):
    advice = "Try a lower optimizer.learning_rate, a longer warm-up or a lower clip_norm\n"
    every = f"--config.train.evaluate_every={evaluate_every}"
    diverging = train_command(tmp_path, *DIVERGING, every)
    for _ in range(2):  # the second continues from the good checkpoint, where there is one
        code, _, errors = call(*diverging)
        assert code == 3
        assert errors == message.replace("CHECKPOINTS", str(tmp_path / "checkpoints")) + advice
        assert not (tmp_path / "results.json").exists()


@pytest.mark.slow
def test_help_and_a_mistake(cache, tmp_path):
    """Two processes at once: each spends its time on imports."""
    asked = start(["train.py", "--help"], cache)
    wrong = start(train_command(tmp_path / "x", "--config.train.stepz=3"), cache)
    code, output, errors = finish(asked)
    assert (code, errors) == (0, "")
    assert output.startswith("Trains one model")
    assert "\npython train.py --config=" in output
    assert finish(wrong) == (
        2,
        "",
        "train.py: config key 'train.stepz' does not exist; did you mean 'train.steps'?\n",
    )
    assert not (tmp_path / "x").exists()
