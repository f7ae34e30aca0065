"""Sweeps of many real runs, killed at moments that nothing chooses; storages that go away."""

import os
import signal
import subprocess
import time
from pathlib import Path
from unittest.mock import patch

import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from seqmodels.sweeps import plan_file as sweep_file
from seqmodels.sweeps import studies as sweep_studies
from seqmodels.sweeps import trials
from tests.command_line import TINY, start
from tests.sweeps.postgres import postgres
from tests.sweeps.small_sweep import (
    CONFIG,
    SmallSweep,
    WorkerHere,
    assert_none_lost_and_none_twice,
    in_progress,
    kill_a_worker_twice,
    lives,
    outputs,
    states,
    wait_for,
)

RATE = "optimizer.learning_rate"


def test_a_worker_killed_twice_loses_no_trial(tmp_path):
    """Twelve runs of train.py by two workers."""
    config = tmp_path / "small.py"
    rates = "(0.001, 0.003, 0.01, 0.02, 0.03, 0.1)"
    points = f"product({{'mixer': ('gru', 'rnn')}}, {{'{RATE}': {rates}}})"
    config.write_text(CONFIG.replace("SWEEP", points))
    folder = tmp_path / "sweep"
    flags = [f"--config={config}", f"--workdir={folder}", "--workers=2", "--heartbeat=1"]
    command = ["sweep.py", *flags, *TINY, "--config.train.steps=400"]
    process = start(command, tmp_path / "cache")
    kill_a_worker_twice(lives(process), folder, '"step": 40, "split": "validation"')
    output, errors = process.communicate(timeout=1800)  # many short runs on a shared machine
    assert (process.returncode, errors) == (0, ""), output
    assert_none_lost_and_none_twice(folder, 12)
    assert "12 of 12 runs finished, 0 failed" in output
    continued = [text for text in outputs(folder) if "continuing from step" in text]
    assert len(continued) == 1


class Killed(BaseException):
    """The process is gone at this moment."""


class Nobody(WorkerHere):
    """Starts no worker."""

    def look(self) -> bool:
        return False


def _all_running(storage: RDBStorage, study_id: int) -> list[int]:
    """Whoever was killed gives no sign of life."""
    running = storage.get_all_trials(study_id, states=(TrialState.RUNNING,))
    return [trial._trial_id for trial in running]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("search", ["grid", "random"])
def test_a_sweep_killed_at_each_write_goes_on(tmp_path, search):
    """At the first write to a file or the storage, at the second, and so on to the last."""
    points = f"product({{'{RATE}': (0.1, 0.2), 'seed': (0, 1)}})"
    options = {"search": search, "trials": None if search == "grid" else 2}
    crew = Nobody if search == "grid" else WorkerHere
    places = [(trials.Trial, "_write"), (sweep_file, "write_json")]
    places += [(RDBStorage, name) for name in ("create_new_study", "create_new_trial")]
    places += [(RDBStorage, name) for name in ("set_trial_state_values", "set_trial_user_attr")]
    kills = 0
    while True:
        folder = tmp_path / f"{kills}"
        folder.mkdir()
        sweep = SmallSweep(folder, points)
        left = kills

        def at(original):
            def call(*arguments, **named):
                nonlocal left
                if left == 0:
                    raise Killed
                left -= 1
                return original(*arguments, **named)

            return call

        patches = [patch.object(place, name, at(getattr(place, name))) for place, name in places]
        for one in patches:
            one.start()
        try:
            sweep.run(crew=crew, **options)
            was_killed = False
        except Killed:
            was_killed = True
        finally:
            for one in patches:
                one.stop()
        if not was_killed:
            break
        with (
            patch.object(RDBStorage, "_get_stale_trial_ids", _all_running),
            patch.object(sweep_studies, "GRACE", -1),
        ):
            sweep.run(**options)
        assert states(sweep.folder) == {"finished": 4}, f"killed at write {kills}"
        kills += 1
    print(f"{search}: killed at each of {kills} writes, and gone on with")
    assert kills > 5


def test_a_stopped_worker_comes_back(tmp_path):
    """It is given up for dead, and continued when its run has been entered again."""
    sweep = SmallSweep(tmp_path, f"product({{'{RATE}': tuple(n / 20 for n in range(1, 7))}})")

    def stop_one(goes_on):
        wait_for(lambda: len(in_progress(sweep.folder, '"step": 3,')) == 2, goes_on)
        worker = in_progress(sweep.folder, '"step": 3,')[0]["worker"]
        os.kill(worker, signal.SIGSTOP)
        time.sleep(10)  # three heartbeats of a second, and what the other one needs to see it
        os.kill(worker, signal.SIGCONT)

    sweep.run_while(stop_one)
    assert states(sweep.folder) == {"finished": 6}
    assert [text.count("finished in") for text in outputs(sweep.folder)] == [1] * 6


def test_short_absences_of_postgresql_end_nothing(tmp_path, capsys):
    """It is away three times for six seconds under a heartbeat of one."""
    sweep = SmallSweep(tmp_path, f"product({{'{RATE}': tuple(n / 40 for n in range(1, 25))}})")
    with postgres() as url:
        server = _server_of(url)

        def take_away(goes_on):
            for _ in range(3):
                wait_for(lambda: bool(in_progress(sweep.folder, '"step": 3,')), goes_on)
                os.kill(server, signal.SIGSTOP)
                time.sleep(6)
                os.kill(server, signal.SIGCONT)
                for child in _children(server):
                    os.kill(child, signal.SIGTERM)  # its connections end
                time.sleep(2)

        sweep.run_while(take_away, storage=url)
    assert states(sweep.folder) == {"finished": 24}
    assert [text.count("finished in") for text in outputs(sweep.folder)] == [1] * 24
    assert capsys.readouterr().err == ""


def _server_of(url: str) -> int:
    """The process of a server, by the port of its URL."""
    port = url.rpartition(":")[2].partition("/")[0]
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        words = file.read_bytes().decode(errors="replace").split("\0")
        if words[0].endswith("postgres") and port in words:
            return int(file.parent.name)
    raise AssertionError(f"no server at {port}")


def _children(process: int) -> list[int]:
    """The connections of a server."""
    found = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(process)],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split(None, 1) for line in found.stdout.splitlines()]
    return [int(pid) for pid, said in lines if "tester" in said]
