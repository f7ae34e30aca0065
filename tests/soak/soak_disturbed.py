"""Long runs that go wrong: losses that diverge, batches and processes that hang, saves by time.

tests/training/ has each once: test_divergence.py, test_watchdog.py, test_fit.py.
"""

import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from seqmodels.errors import DivergedError
from seqmodels.training.fit import fit
from seqmodels.training.interruption import RunInterruptedError
from seqmodels.training.moments import Observer
from seqmodels.training.watchdog import EXIT_CODE
from tests.command_line import (
    QUICKLY,
    STEPS,
    End,
    assert_same_end,
    end_of,
    finish,
    start,
    tiny_config,
    train_command,
    wait_until,
)
from tests.moments import at, terminate
from tests.training.poisoned import poison_losses
from tests.training.test_divergence import interrupted, told
from tests.training.test_processes import free_port

TIMES = 20
LIMIT = 3.0
"""Of the watchdog, in seconds."""
HANGS = f"takes longer than train.watchdog_seconds={LIMIT:g}; the same command"
POLICIES: dict[str, dict[str, Any]] = {
    "stop": {},
    "skip": {"on_divergence": "skip", "most_divergences": 99, "spike": 9.0, "spike_losses": 7},
    "back": {"on_divergence": "back", "most_divergences": 99, "back": 2},
}
SHORT = 30


@pytest.fixture
def poison(monkeypatch) -> Callable[[set[tuple[int, int]]], None]:
    """Makes the losses of steps NaN, by how many are done and how often the run went back."""

    return partial(poison_losses, monkeypatch)


@pytest.mark.parametrize("policy", POLICIES)
def test_losses_that_are_no_number_at_random_steps(poison, tmp_path, show, policy):
    """Runs are killed and stopped besides, and saved by time; each ends as the undisturbed one.

    Where they stop, that is one without such losses.
    """
    chance, equal, diverged = random.Random(policy), 0, 0

    def run(folder: Path, *observers: Observer, **more: Any) -> None:
        config = tiny_config(steps=SHORT, evaluate_every=5, log_every=3).unlock()
        config.task.evaluation_examples = 16
        with config.ignore_type():
            config.train.update(POLICIES[policy] | more)
        fit(config.lock(), folder, observers=observers)

    for time_ in range(TIMES):
        whole, broken = tmp_path / f"whole-{time_}", tmp_path / f"broken-{time_}"
        of = {(chance.randrange(SHORT), number) for number in range(6) for _ in range(2)}
        poison(set() if policy == "stop" else of)
        run(whole)
        poison(of)
        for _ in range(3):
            action = chance.choice([interrupted, terminate])
            moment = at("step done", chance.randrange(2, SHORT), action, chance.choice([1, 1, 2]))
            saves = {"save_every_seconds": chance.choice([None, 1e-9])}
            with suppress(KeyboardInterrupt, RunInterruptedError):
                try:
                    run(broken, moment, **saves)
                    break
                except DivergedError:
                    assert policy == "stop"
                    diverged += 1
                    poison(set())
        poison(set() if policy == "stop" else of)
        run(broken)
        assert_same_end(broken, end_of(whole))
        found = told(broken)
        assert [e for e in found if e[1] != "diverged"] == told(whole)
        diverged += sum(split == "skipped" or "reversal" in split for _, split in found)
        equal += 1
    show(f"{policy}: {diverged} losses that were NaN in {TIMES} runs, {equal} bitwise equal")


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """For compiled programs: the first run fills it, the others read it."""
    return tmp_path_factory.mktemp("cache")


WATCHED = (f"--config.train.watchdog_seconds={LIMIT}", "--config.train.evaluate_every=50")


def crew(workdir: Path, cache: Path, how: str | None = None, step: int = 0) -> list:
    """Two processes of a run, of which the second hangs in some way at a step."""
    among = ["--processes=2", f"--coordinator=127.0.0.1:{free_port()}", "--devices=2"]
    hanging = ["-m", "tests.training.hung_run", str(how), str(step)] if how else []
    command = train_command(workdir, *WATCHED, *among)
    return [
        start(
            [*(hanging if number == 1 else []), *command, f"--process={number}"], cache, **QUICKLY
        )
        for number in (0, 1)
    ]


def ended_well(processes: list) -> None:
    for process in processes:
        code, _, errors = finish(process)
        assert (code, errors) == (0, "")


@pytest.fixture(scope="module")
def ends(tmp_path_factory, cache) -> dict[int, End]:
    """How a run of one process, and of two, ends that nothing disturbs."""
    one, two = (tmp_path_factory.mktemp("runs") / name for name in ("one", "two"))
    ended_well([start(train_command(one, *WATCHED), cache, **QUICKLY)])
    ended_well(crew(two, cache))
    return {1: end_of(one), 2: end_of(two)}


def test_batches_that_hang(ends, cache, tmp_path, show):
    chance = random.Random(2026)
    for time_ in range(TIMES):
        workdir, step = tmp_path / f"hung-{time_}", chance.randrange(STEPS)
        command = train_command(workdir, *WATCHED)
        hung = ["-m", "tests.training.hung_run", "waiting", str(step)]
        code, _, errors = finish(start([*hung, *command], cache, **QUICKLY))
        *stacks, last = errors.splitlines()
        assert code == EXIT_CODE, errors
        assert last.startswith(f"train.py: the batch of step {step + 1} {HANGS} continues")
        assert any("hung_run.py" in line and line.endswith("in hang") for line in stacks)
        assert any("fit.py" in line and line.endswith("in _next_batch") for line in stacks)
        ended_well([start(command, cache, **QUICKLY)])
        assert_same_end(workdir, ends[1])
    show(f"{TIMES} batches that hung, each said; {TIMES} of {TIMES} runs bitwise equal")


def test_processes_that_hang(ends, cache, tmp_path, show):
    """The other one names it within a minute: by what it says, by its silence, or JAX does."""
    chance, slowest = random.Random(2027), {"waiting": 0.0, "locking": 0.0, "stopped": 0.0}
    for time_ in range(TIMES):
        workdir, step = tmp_path / f"hung-{time_}", chance.randrange(1, STEPS)
        how = [*slowest][time_ % 3]
        first, second = crew(workdir, cache, how, step)
        metrics = workdir / "metrics.jsonl"
        # The last line that is there for certain: batches are made some steps ahead.
        logged = f'"step": {5 * ((step - 4) // 5)},' if step >= 9 else ""
        wait_until(lambda m=metrics, line=logged: line in read(m), first)
        begin = time.monotonic()
        code, _, errors = finish(first)
        slowest[how] = max(slowest[how], time.monotonic() - begin)
        assert code in (EXIT_CODE, 2, -signal.SIGABRT), errors
        assert "process 1 " in errors.splitlines()[-1], errors
        if how == "locking":
            assert "train.py: process 1 hangs (it says nothing): step " in errors, errors
        second.kill()
        finish(second)
        ended_well(crew(workdir, cache))
        assert_same_end(workdir, ends[2])
    show(f"{TIMES} processes that hung, each named and bitwise equal; at most after s: {slowest}")
    assert max(slowest.values()) < 60


def read(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def test_a_kill_costs_what_was_done_since_the_last_save_by_time(cache, tmp_path, show):
    """There is but one validation, at the end."""
    steps, every = 2000, 0.3
    flags = [f"--config.train.{key}={steps}" for key in ("steps", "evaluate_every")]
    saving = [*flags, "--config.train.log_every=20", f"--config.train.save_every_seconds={every}"]
    ended_well([start(train_command(tmp_path / "whole", *saving), cache, **QUICKLY)])
    end, chance, lost = end_of(tmp_path / "whole"), random.Random(2028), []
    for time_ in range(TIMES):
        workdir = tmp_path / f"killed-{time_}"
        process = start(train_command(workdir, *saving), cache, **QUICKLY)
        wait_until(lambda w=workdir: any(w.glob("checkpoints/[0-9]*[0-9]/checksums")), process)
        until = time.monotonic() + chance.uniform(0, 3)
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.001)
        process.kill()
        killed = time.time()
        finish(process)
        saved = [path.stat().st_mtime for path in workdir.glob("checkpoints/*/checksums")]
        if not (workdir / "results.json").exists():
            lost.append(killed - max(saved))
        ended_well([start(train_command(workdir, *saving), cache, **QUICKLY)])
        assert_same_end(workdir, end)
    show(f"{TIMES} kills, {TIMES} bitwise equal; at most {max(lost):.2f} s were lost")
    assert max(lost) < every + 3
