"""Runs of train.py that are killed, stopped and damaged from outside, at moments nobody chose.

tests/test_train.py has them at chosen moments.
"""

import math
import random
import re
import shlex
import signal
import time
from pathlib import Path

import pytest

from tests.command_line import (
    EVALUATE_EVERY,
    STEPS,
    End,
    assert_same_end,
    end_of,
    events,
    finish,
    last_state,
    start,
    train_command,
    wait_until,
)
from tests.training.test_processes import free_port


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """For compiled programs: the first run fills it, the others read it."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def end(tmp_path_factory, cache) -> End:
    """How a run ends that nothing disturbs."""
    workdir = tmp_path_factory.mktemp("runs") / "undisturbed"
    code, _, errors = finish(start(train_command(workdir), cache))
    assert (code, errors) == (0, "")
    return end_of(workdir)


def test_a_run_killed_five_times_ends_as_if_never_killed(end, cache, tmp_path):
    """While it compiles, while a checkpoint is half written, and at three random moments."""
    workdir, chance = tmp_path / "killed", random.Random(2026)
    checkpoints, metrics = workdir / "checkpoints", workdir / "metrics.jsonl"

    def has_reached(step: int) -> bool:
        return metrics.exists() and f'"step": {step},' in metrics.read_text()

    def is_saving() -> bool:
        return any("tmp" in path.name for path in checkpoints.glob("*"))

    moments = [lambda: (workdir / "config.json").exists(), is_saving]
    moments += [
        lambda step=step: has_reached(step)
        for step in sorted(chance.sample(range(30, STEPS - 40, 5), k=3))
    ]
    for moment in moments:
        process = start(train_command(workdir), cache)
        wait_until(moment, process)
        time.sleep(chance.uniform(0, 0.05) if moment is not is_saving else 0)
        process.kill()
        assert finish(process)[0] == -signal.SIGKILL
        assert not (workdir / "results.json").exists()
    code, output, errors = finish(start(train_command(workdir), cache))
    assert (code, errors) == (0, "")
    assert re.search(r"^continuing from step \d+ in ", output, re.MULTILINE)
    assert "warning" not in output
    assert_same_end(workdir, end)


KILLS = 30
"""Of runs of one process, and as many of runs of two."""
SETTINGS = (
    "--config.train.accumulate=2",
    "--config.train.lengths=uniform",
    "--config.train.shortest=5",
    "--config.model.dtype=bfloat16",
    "--config.train.steps=600",
    "--config.train.log_every=7",  # so that checkpoints lie inside of what is logged together
)


class Crew:
    """The processes of one run; the last that has started anew."""

    def __init__(self, workdir: Path, count: int, cache: Path):
        command = train_command(workdir, *SETTINGS)
        flags: list[list[str]] = [[]]
        if count > 1:
            among = [f"--processes={count}", f"--coordinator=127.0.0.1:{free_port()}"]
            flags = [[*among, f"--process={number}", "--devices=2"] for number in range(count)]
        self.processes = [start([*command, *own], cache) for own in flags]

    def finish(self) -> list[tuple[int, str, str]]:
        return [finish(process) for process in self.processes]


def told(workdir: Path) -> list[list[dict]]:
    return [events(workdir, split) for split in ("train", "validation", "test")]


@pytest.mark.parametrize("count", [1, 2])
def test_kills_at_random_moments(cache, tmp_path, show, count):
    """Micro-batches, drawn lengths, bfloat16; of two processes one is killed, and the other ends.

    A run that reaches its end is held against the undisturbed one, and the next one begins.
    """
    whole, chance = tmp_path / "whole", random.Random(count)
    begun = time.monotonic()
    assert [(code, errors) for code, _, errors in Crew(whole, count, cache).finish()] == [
        (0, "")
    ] * count
    seconds = time.monotonic() - begun
    whole_end, whole_told = end_of(whole), told(whole)
    rows, runs, equal = [], 0, 0
    show(f"{count} processes: run, killed, after s, logged up to step, all ended within s")
    while len(rows) < KILLS:
        workdir, runs = tmp_path / f"killed-{runs}", runs + 1
        while not (workdir / "results.json").exists():
            crew = Crew(workdir, count, cache)
            victim = chance.randrange(count)
            wait = chance.uniform(0, seconds) if len(rows) < KILLS else math.inf
            deadline = time.monotonic() + wait
            process = crew.processes[victim]
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.001)
            process.kill()
            killed = time.monotonic()
            ends = crew.finish()
            said = "".join(output for _, output, _ in ends).splitlines()
            warned = [line for line in said if "warning" in line]
            # They save together: what was being saved is lost with the one that is killed.
            assert all("can't be written" in line and "may have ended" in line for line in warned)
            assert not warned or ends[victim][0] == -signal.SIGKILL
            if ends[victim][0] == -signal.SIGKILL:
                for number, (code, _, errors) in enumerate(ends):
                    if number != victim:
                        if code == 0:  # all was done but the victim's own end
                            assert (workdir / "results.json").exists()
                            continue
                        # JAX's own thread may be the first to notice, and aborts.
                        assert code in (2, -signal.SIGABRT), errors
                        assert len(errors.splitlines()) == 1, errors
                survived = time.monotonic() - killed
                assert survived < 60
                rows.append((runs, victim, wait, last_logged(workdir), survived))
                show("{:4} {:4} {:8.2f} {:6} {:8.2f}".format(*rows[-1]))
            else:
                assert [(code, errors) for code, _, errors in ends] == [(0, "")] * count
        assert_same_end(workdir, whole_end)
        assert told(workdir) == whole_told
        equal += 1
    show(f"{len(rows)} kills in {runs} runs, {equal} of {runs} bitwise equal")


def last_logged(workdir: Path) -> int:
    found = events(workdir, "train") if (workdir / "metrics.jsonl").exists() else []
    return found[-1]["step"] if found else 0


@pytest.fixture
def hang_ups_end():
    """Also where the checks run under nohup, whose processes ignore them."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_ups_end")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_run_saves_and_says_how_to_continue(end, cache, tmp_path, number):
    workdir = tmp_path / "stopped run"
    process = start(train_command(workdir), cache)
    metrics = workdir / "metrics.jsonl"
    wait_until(lambda: metrics.exists() and '"step": 65,' in metrics.read_text(), process)
    process.send_signal(number)
    code, _, errors = finish(process)
    assert code == 128 + number
    said = re.fullmatch(
        r"train.py: interrupted at step (\d+), which is saved; continue with: python (.*)\n", errors
    )
    assert said is not None, errors
    assert last_state(workdir)[0] == int(said[1])
    code, output, errors = finish(start(shlex.split(said[2]), cache))
    assert (code, errors) == (0, "")
    assert f"continuing from step {said[1]} in {workdir}" in output
    assert_same_end(workdir, end)


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(end, cache, tmp_path):
    workdir = tmp_path / "damaged"
    process = start(train_command(workdir), cache)
    wait_until((workdir / "checkpoints/100").exists, process)
    process.kill()
    finish(process)
    latest = max((workdir / "checkpoints").glob("[0-9]*[0-9]"), key=lambda path: int(path.name))
    for file in (latest / "default/d").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    code, output, errors = finish(start(train_command(workdir), cache))
    assert (code, errors) == (0, "")
    before = int(latest.name) - EVALUATE_EVERY
    assert re.search(rf"^warning: checkpoint {latest.name} is damaged \(.*\)$", output, re.M)
    fallback = f"\nwarning: falling back to checkpoint {before}\ncontinuing from step {before} in "
    assert fallback in output
    assert (workdir / "damaged-checkpoints" / latest.name).is_dir()
    assert_same_end(workdir, end)
