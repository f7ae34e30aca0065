"""A sweep of many real runs, whose workers are killed at moments that nothing chooses."""

from tests.command_line import TINY, start
from tests.experiments.sweeps import (
    CONFIG,
    assert_none_lost_and_none_twice,
    kill_a_worker_twice,
    lives,
    outputs,
)


def test_a_worker_killed_twice_loses_no_trial(tmp_path):
    """Twelve runs of train.py by two workers."""
    config = tmp_path / "small.py"
    rates = "(0.001, 0.003, 0.01, 0.02, 0.03, 0.1)"
    points = f"product({{'mixer': ('gru', 'rnn')}}, {{'optimizer.learning_rate': {rates}}})"
    config.write_text(CONFIG.replace("SWEEP", points))
    folder = tmp_path / "sweep"
    flags = [f"--config={config}", f"--workdir={folder}", "--workers=2", "--heartbeat=1"]
    command = ["sweep.py", *flags, *TINY, "--config.train.steps=400"]
    process = start(command, tmp_path / "cache")
    kill_a_worker_twice(lives(process), folder, '"step": 40, "split": "validation"')
    output, errors = process.communicate(timeout=600)  # many short runs on a shared machine
    assert (process.returncode, errors) == (0, ""), output
    assert_none_lost_and_none_twice(folder, 12)
    assert "12 of 12 runs finished, 0 failed" in output
    continued = [text for text in outputs(folder) if "continuing from step" in text]
    assert len(continued) == 1
