"""Small sweeps: a config that has one, a train.py that takes no time, workers without processes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

from seqmodels.sweeps import run as sweep
from seqmodels.sweeps import worker as sweep_worker
from seqmodels.sweeps.local_workers import LocalWorkers
from seqmodels.sweeps.run import SweepOptions, run_sweep
from seqmodels.sweeps.worker import Worker
from tests.command_line import read_json

ROOT = Path(__file__).parents[2]

CONFIG = f"""
from seqmodels import Between, chain, product, staged, zipped
from seqmodels.config import load_config

def get_config(arg=""):
    given = ",".join(filter(None, ["length=20", arg]))
    return load_config({str(ROOT / "configs/copy.py")!r} + ":" + given).config

def sweep():
    return SWEEP
"""

# Learning rates say what a run does; it validates with its learning rate as accuracy. While there
# is a file hold beside it, it stays at its third step; beside a file paced it goes on when its
# worker has seen its last step.
FAKE_TRAIN = """
import json, os, signal, sys, time
from pathlib import Path

flags = dict(argument.lstrip("-").split("=", 1) for argument in sys.argv[1:])
folder = Path(flags["workdir"])
rate = float(flags["config.optimizer.learning_rate"])
stopped = []
signal.signal(signal.SIGINT, lambda *_: stopped.append(1))
progress = folder / "progress"
step = int(progress.read_text()) if progress.exists() else 0
hold, paced = (Path(__file__).with_name(name) for name in ("hold", "paced"))
seen = folder / "seen"

def waits(step):
    if paced.exists():
        return not seen.exists() or int(seen.read_text() or 0) != step
    return step == 3 and hold.exists()

if (folder / "results.json").exists():
    sys.exit("was finished")
print("from step", step, flush=True)
if rate == 0.666:
    print("train.py: the loss is nan at step 7; try less", flush=True)
    sys.exit(3)
if rate == 0.777:
    os.kill(os.getpid(), signal.SIGKILL)
for step in range(step + 1, 11):
    progress.write_text(str(step))
    with (folder / "metrics.jsonl").open("a") as file:
        event = {"step": step, "split": "validation", "seconds": 1.0, "accuracy": rate}
        file.write(json.dumps(event) + "\\n")
    deadline = time.monotonic() + 300
    while waits(step) and not stopped:
        if time.monotonic() > deadline:
            sys.exit("was held for too long")
        time.sleep(0.002)
    if stopped:
        print("train.py: interrupted", flush=True)
        sys.exit(130)
seed = float(flags.get("config.seed", 0))
scores = {"validation": {"accuracy": rate + seed / 100}, "test": {"accuracy": 1 - rate}}
results = {"steps": 10, "best_step": 10, "parameters": 5, "seconds": 2.0, **scores}
(folder / "results.json").write_text(json.dumps(results))
print("finished in 2 s", flush=True)
"""


class WorkerHere(LocalWorkers):
    """In place of processes: one worker, in this one, that works until nothing is left."""

    def start(self) -> None:
        pass

    def look(self) -> bool:
        assert Worker(self._orders._replace(parent=None)).work() == 0
        return False


class SmallSweep:
    """A sweep in a folder, run with the fake train.py.

    Args:
      folder: where config, script and sweep lie.
      points: what sweep() returns, as Python.
    """

    def __init__(self, folder: Path, points: str):
        self.config = folder / "small.py"
        self.train = folder / "train.py"
        self.hold = folder / "hold"
        self.folder = folder / "sweep"
        self.train.write_text(FAKE_TRAIN)
        self.points(points)

    def points(self, points: str) -> None:
        """Makes sweep() return other points."""
        self.config.write_text(CONFIG.replace("SWEEP", points))

    def run(self, *overrides: tuple[str, str], crew: Any = WorkerHere, **options: Any) -> None:
        """Runs it in this process, and its worker too but for another crew."""
        chosen = SweepOptions(**{"workers": 1, **options})
        with (
            patch.object(sweep, "LocalWorkers", crew),
            patch.object(sweep_worker, "POLL_SECONDS", 0.002),
        ):
            run_sweep(str(self.config), list(overrides), str(self.folder), self.train, chosen)

    def run_while(self, meanwhile: Callable[[Callable[[], bool]], None], **options: Any) -> None:
        """Runs it with two workers in their own processes, while a thread does something to them.

        Runs stay in their midst until it is done.

        Args:
          meanwhile: what the thread does; it is given a function that says whether the sweep goes
            on.
          options: of the sweep.
        """
        self.hold.touch()
        ended = threading.Event()

        def act() -> None:
            try:
                meanwhile(lambda: not ended.is_set())
            finally:
                self.hold.unlink()

        chosen = {"workers": 2, **options}
        with ThreadPoolExecutor(1) as thread:
            acted = thread.submit(act)
            try:
                self.run(crew=LocalWorkers, **chosen)
            finally:
                ended.set()
                acted.result()

    def start(self) -> subprocess.Popen[str]:
        """Starts the same in a process of its own, with two workers in theirs.

        Runs stay in their midst until ``hold`` is deleted.
        """
        self.hold.touch()
        code = (
            "from pathlib import Path\nfrom seqmodels import cli\n"
            "from seqmodels.sweeps.run import SweepOptions, run_sweep\n"
            f"cli.run(lambda: run_sweep({str(self.config)!r}, [], {str(self.folder)!r}, "
            f"Path({str(self.train)!r}), SweepOptions(workers=2)))"
        )
        return subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def trials(folder: Path) -> list[dict[str, Any]]:
    return [read_json(file) for file in sorted(folder.glob("trials/*/trial.json"))]


def outputs(folder: Path) -> list[str]:
    return [file.read_text() for file in sorted(folder.glob("trials/*/output.txt"))]


def states(folder: Path) -> Counter[str]:
    return Counter(trial["state"] for trial in trials(folder))


def wait_for(condition: Callable[[], bool], goes_on: Callable[[], bool]) -> None:
    """Looks now and then, as each look reads all trials; what is waited for must go on so long."""
    deadline = time.monotonic() + 300
    while not condition():
        assert goes_on(), "it has ended"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def in_progress(folder: Path, saved: str) -> list[dict[str, int]]:
    """Who holds the unfinished runs that have written ``saved`` into their metrics."""
    holders = []
    for file in folder.glob("trials/*/lock"):
        text = file.read_text()
        if not text or (file.parent / "results.json").exists():
            continue
        metrics = file.with_name("metrics.jsonl")
        begun = metrics.exists() and saved in metrics.read_text()
        # The save that goes with a validation ends after its line is written.
        kept = file.parent / "checkpoints"
        begun &= not kept.exists() or any(path.name.isdigit() for path in kept.iterdir())
        if begun:
            holders.append(json.loads(text))
    return holders


def lives(process: subprocess.Popen[str]) -> Callable[[], bool]:
    return lambda: process.poll() is None


def kill_a_worker_twice(goes_on: Callable[[], bool], folder: Path, saved: str) -> None:
    """Kills one worker with its run, as a machine dies, then another, its replacement maybe, alone.

    Each when its run has written ``saved``.
    """
    killed: set[int] = set()

    def victims() -> list[dict[str, int]]:
        return [one for one in in_progress(folder, saved) if one["worker"] not in killed]

    for also_the_run in (True, False):
        found: list[dict[str, int]] = []

        def is_found(found: list = found) -> bool:
            found.extend(victims())
            return bool(found)

        wait_for(is_found, goes_on)
        holder = found[0]
        killed.add(holder["worker"])
        os.kill(holder["worker"], signal.SIGKILL)
        if also_the_run:
            os.kill(holder["run"], signal.SIGKILL)


def assert_none_lost_and_none_twice(folder: Path, runs: int) -> None:
    assert states(folder) == {"finished": runs}
    assert [text.count("finished in") for text in outputs(folder)] == [1] * runs
    assert sum(trial["attempts"] for trial in trials(folder)) == runs + 1, (
        "one died with its worker"
    )
