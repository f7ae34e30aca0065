"""The process of a run, which on Linux is a copy of its worker."""

import json
import signal
import subprocess
import sys

import pytest

from seqmodels.sweeps import starting
from tests.command_line import finish, start

WORKER = """
import fcntl, json, os, signal, sys, time
from seqmodels import cli
from seqmodels.sweeps import starting

def main():
    said = {"argv": sys.argv, "leads": os.getsid(0) == os.getpid(), "reads": sys.stdin.read()}
    handlers = [signal.getsignal(number) is noted for number in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    print(json.dumps(said | {"handlers": handlers}), flush=True)
    time.sleep(600)

def noted(*_):
    pass

def is_held():
    with open("FOLDER/lock", "r+") as other:
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False

starting._IMPORTED, cli.carry_out = (), main
signal.signal(signal.SIGINT, noted), signal.signal(signal.SIGTERM, noted)
lock = os.open("FOLDER/lock", os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
try:
    with open("FOLDER/output", "ab") as output:
        process = starting.start_run([*starting.TRAIN, "--config=x"], output, lock, copies=True)
except starting.BecomesRunError as run:
    os.close(lock)
    run.train()
os.close(lock)
while not os.path.getsize("FOLDER/output"):
    time.sleep(0.001)
found = [process.poll(), is_held()]
process.send_signal(signal.SIGTERM)
while process.poll() is None:
    time.sleep(0.001)
process.send_signal(signal.SIGTERM)
print(json.dumps([*found, process.returncode, is_held()]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes aren't copied")
def test_a_copy_is_a_run_of_its_own(tmp_path):
    """It has the command, a session, signals and nothing to read; it writes where it is told to,
    and holds the run's folder for as long as it lives, however it ends."""
    program = WORKER.replace("FOLDER", str(tmp_path))
    code, output, errors = finish(start(["-c", program], tmp_path / "cache"))
    assert (code, errors) == (0, "")
    assert json.loads(output) == [None, True, -signal.SIGTERM, False]
    assert json.loads((tmp_path / "output").read_text()) == {
        "argv": ["seqmodels", "train", "--config=x"],
        "leads": True,
        "reads": "",
        "handlers": [False, False],
    }


def test_a_worker_of_another_program_is_not_copied(monkeypatch, tmp_path):
    """SLURM's goes on in a process that holds more than it."""
    started = []
    monkeypatch.setattr(
        subprocess.Popen, "__init__", lambda _, command, **__: started.append(command)
    )
    monkeypatch.setattr(subprocess.Popen, "__del__", lambda _: None)
    monkeypatch.setattr(starting.os, "fork", lambda: pytest.fail("it is copied"))
    with (tmp_path / "output").open("ab") as output:
        starting.start_run([*starting.TRAIN, "--config=x"], output, 0, copies=False)
    assert started == [[sys.executable, "-P", "-m", "seqmodels", "train", "--config=x"]]
