"""Sweeps of many real runs, killed at moments that nothing chooses."""

import os
import signal
import time

from tests.command_line import TINY, start
from tests.sweeps.small_sweep import (
    CONFIG,
    SmallSweep,
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
    flags = [f"--config={config}", f"--workdir={folder}", "--workers=2"]
    command = ["sweep.py", *flags, *TINY, "--config.train.steps=400"]
    process = start(command, tmp_path / "cache")
    kill_a_worker_twice(lives(process), folder, '"step": 40, "split": "validation"')
    output, errors = process.communicate(timeout=1800)  # many short runs on a shared machine
    assert (process.returncode, errors) == (0, ""), output
    assert_none_lost_and_none_twice(folder, 12)
    assert "12 of 12 runs finished, 0 failed" in output
    continued = [text for text in outputs(folder) if "continuing from step" in text]
    assert len(continued) == 1


def test_a_stopped_worker_comes_back(tmp_path):
    """Its run is nobody else's meanwhile."""
    sweep = SmallSweep(tmp_path, f"product({{'{RATE}': tuple(n / 20 for n in range(1, 7))}})")

    def stop_one(goes_on):
        wait_for(lambda: len(in_progress(sweep.folder, '"step": 3,')) == 2, goes_on)
        worker = in_progress(sweep.folder, '"step": 3,')[0]["worker"]
        os.kill(worker, signal.SIGSTOP)
        time.sleep(10)  # the other one has time for all other runs
        os.kill(worker, signal.SIGCONT)

    sweep.run_while(stop_one)
    assert states(sweep.folder) == {"finished": 6}
    assert [text.count("finished in") for text in outputs(sweep.folder)] == [1] * 6
