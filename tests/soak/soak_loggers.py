"""Loggers with their real packages, in an environment of their own (tools/setup-loggers.sh).

trackio is used as a run uses it, killed and continued, and read back; what the cheap tests' modules
take (tests/training/test_loggers.py) is what the real ones take.
"""

import json
import os
import subprocess
from typing import Any

import pytest

from tests.command_line import ROOT

PYTHON = ROOT / ".venv-loggers/bin/python"
GOLDENS = ROOT / "tests/goldens"

SAID = "said: "

RUN = """
import json, sys
from pathlib import Path
from seqmodels.training.loggers import LOGGERS, LoggedRun

folder, called, *steps = sys.argv[1:]
logger = LOGGERS["trackio"](LoggedRun(Path(folder), {"train.steps": 15}, called or None), 0.0)
assert logger.begins == (not called)
for step in map(int, steps):
    logger.add({"step": step, "split": "train", "seconds": 1.0, "loss": step / 10})
    logger.add({"step": step, "split": "validation", "seconds": 1.0, "accuracy": step / 100})
logger.close()
print("said:", json.dumps(logger.called))
"""

READ = """
import json, sys
import trackio
from trackio.sqlite_storage import SQLiteStorage

(run,) = trackio.Api().runs("seqmodels")
logs = SQLiteStorage.get_logs("seqmodels", run.name, run_id=run.id)
said = [{key: log[key] for key in log if key == "step" or "/" in key} for log in logs]
print("said:", json.dumps([run.name, run.config, said]))
"""


@pytest.fixture(scope="module")
def python():
    """Runs a program there, and gives what it says among what packages print."""
    if subprocess.run(["sh", "tools/setup-loggers.sh"], cwd=ROOT, check=False).returncode:
        pytest.skip("no registry has the packages here")

    def run(code: str, *arguments: str, **environment: str) -> Any:
        made = subprocess.run(
            [PYTHON, "-c", code, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        (said,) = (line for line in made.stdout.splitlines() if line.startswith(SAID))
        return json.loads(said.removeprefix(SAID))

    return run


def test_the_packages_take_what_the_tests_stand_in_for(python):
    code = "import json, runpy; print('said:', json.dumps(runpy.run_path(FILE)['signatures']()))"
    file = repr(str(GOLDENS / "make_logger_signatures.py"))
    assert python(code.replace("FILE", file)) == json.loads(
        (GOLDENS / "logger_signatures.json").read_text()
    )


def test_trackio_has_one_run_with_every_event(python, tmp_path, show):
    """Begun, killed after step 10 and its events read again from step 5 on, and continued."""
    files = {"TRACKIO_DIR": str(tmp_path / "trackio")}
    called = python(RUN, str(tmp_path / "run"), "", "5", "10", **files)
    assert python(RUN, str(tmp_path / "run"), called, "10", "15", **files) == called
    name, config, logs = python(READ, **files)
    show(logs)
    assert (name, config["train.steps"]) == (called, 15)
    found: dict[int, dict[str, Any]] = {}
    for log in logs:
        step = log.pop("step")
        found[step] = found.get(step, {}) | log
    assert found == {
        step: {"train/loss": step / 10, "validation/accuracy": step / 100} for step in (5, 10, 15)
    }
