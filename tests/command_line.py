"""Runs train.py and evaluate.py as a user does, on a model that takes seconds."""

import contextlib
import io
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import numpy as np
import pytest
from absl import app, flags
from ml_collections import ConfigDict

from seqmodels import cli
from seqmodels.stopping import SIGNALS
from seqmodels.training.checkpoint import Checkpoints
from seqmodels.training.experiment import build_experiment
from seqmodels.training.programs import abstract_state
from seqmodels.training.resolving import load_whole
from seqmodels.training.sharding import make_mesh
from seqmodels.training.workdir import Workdir

ROOT = Path(__file__).parents[1]
STEPS, EVALUATE_EVERY = 200, 20
CONFIG = "--config=configs/copy.py:mixer=gru,length=8"
TINY = (
    "--config.model.width=16",
    "--config.model.depth=1",
    "--config.model.dropout=0.1",
    "--config.task.pattern=2",
    "--config.task.evaluation_examples=64",
    "--config.optimizer.warmup_steps=10",
    f"--config.train.steps={STEPS}",
    "--config.train.batch_size=8",
    "--config.train.log_every=5",
    f"--config.train.evaluate_every={EVALUATE_EVERY}",
)

QUICKLY = {
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
    "JAX_NUM_CPU_DEVICES": "8",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}
"""Settings of a process that compiles as the tests do, for as many devices, and keeps it all."""


def tiny_config(**train: int) -> ConfigDict:
    """The config of the tiny model, with other settings of its train section."""
    overrides = [flag.removeprefix("--config.").split("=") for flag in TINY]
    overrides += [[f"train.{key}", str(value)] for key, value in train.items()]
    spec = CONFIG.removeprefix("--config=")
    return load_whole(f"{ROOT}/{spec}", [(key, text) for key, text in overrides]).config


def train_command(workdir: Path, *more: str) -> list[str]:
    """Trains the tiny model; later flags override earlier ones."""
    return ["train.py", CONFIG, f"--workdir={workdir}", *TINY, *more]


SEQMODELS = "seqmodels/__main__.py"
"""What ``python -m seqmodels`` runs."""


def call(script: str, *arguments: str, output: io.StringIO | None = None) -> tuple[int, str, str]:
    """Runs a script in this process: its exit code, standard output and standard error."""
    output, errors = output or io.StringIO(), io.StringIO()
    app.define_help_flags()
    before = set(flags.FLAGS)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        with (
            contextlib.chdir(ROOT),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
            mock.patch.object(sys, "argv", [script, *arguments]),
            mock.patch.object(cli, "_overrides", []),
            pytest.raises(SystemExit) as caught,
        ):
            runpy.run_path(script, run_name="__main__")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for name in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, name)
        for name in [name for name in sys.modules if name.startswith("seqmodels.commands.")]:
            del sys.modules[name]  # its next call defines its flags again
        flags.FLAGS.unparse_flags()
    return caught.value.code or 0, output.getvalue(), errors.getvalue()


def start(command: list[str], cache: Path, **settings: str) -> subprocess.Popen[str]:
    """Starts a script in the repository's root, with next to nothing of our environment.

    The settings are added to its environment.
    """
    kept = ("HOME", "PATH", "LD_LIBRARY_PATH", "JAX_PLATFORMS", "SEQMODELS_TEST_CACHE")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment | {"XDG_CACHE_HOME": str(cache)} | settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Waits for the exit code, and what was written to standard output and error."""
    output, errors = process.communicate(timeout=600)
    return process.returncode, output, errors


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Looks every millisecond; the process must be alive when the condition comes true."""
    deadline = time.monotonic() + 600
    while not condition():
        assert process.poll() is None, f"it ended: {process.communicate()}"
        assert time.monotonic() < deadline
        time.sleep(0.001)


def read_json(file: Path) -> Any:
    return json.loads(file.read_text())


def events(workdir: Path, split: str) -> list[dict[str, Any]]:
    """A split's events, without the times, which no two runs share."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [
        {key: value for key, value in event.items() if not key.endswith(("seconds", "per_second"))}
        for event in map(json.loads, lines)
        if event["split"] == split
    ]


def last_state(workdir: Path) -> tuple[int, list[np.ndarray]]:
    """The step of a run's last checkpoint, and its parameters and moments."""
    run = Workdir(workdir)
    experiment = build_experiment(run.config())
    checkpoints = Checkpoints(run.checkpoints, "accuracy", True, print, read_only=True)
    like = abstract_state(experiment, make_mesh(1))
    step, state = checkpoints.restore("latest", like)
    checkpoints.close()
    return step, jax.device_get(jax.tree.leaves(state))


class End(NamedTuple):
    """All in which two runs of a config agree, bit by bit, whatever came between."""

    step: int
    state: list[bytes]
    results: dict[str, Any]
    validations: list[dict[str, Any]]
    tests: list[dict[str, Any]]


def end_of(workdir: Path) -> End:
    """How a run ended."""
    step, state = last_state(workdir)
    results = read_json(workdir / "results.json") | {"seconds": 0}
    del results["cost"]  # which no two runs share
    scores = [events(workdir, split) for split in ("validation", "test")]
    return End(step, [leaf.tobytes() for leaf in state], results, *scores)


def assert_same_end(workdir: Path, end: End) -> None:
    """A run ended with bitwise the same state, scores and validation events."""
    found = end_of(workdir)
    assert found.step == end.step
    assert found.state == end.state
    assert found.results == end.results
    assert found.validations == end.validations
    assert found.tests == end.tests
