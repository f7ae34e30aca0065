"""Starts the process of a sweep's run: on Linux a copy of its worker, elsewhere a new Python.

What a run imports takes seconds, which for a short run is half of its time. A worker imports it
once, and does nothing with it: JAX has no threads before its first array, so that the process may
be copied. A run is still a process of its own, with its own devices, memory, signals and end. A
worker within another program, such as SLURM's, isn't copied: what else it holds isn't known here.
"""

import os
import signal
import subprocess
import sys
from importlib import import_module
from typing import IO, NoReturn

from seqmodels.stopping import stop_at_once
from seqmodels.sweeps.orders import TRAIN

_IMPORTED = ("seqmodels.commands.train", "seqmodels.training.fit", "seqmodels.training.board")


class BecomesRunError(BaseException):
    """Raised in a copy of a worker, which is a run from then on."""

    def __init__(self, command: list[str]):
        super().__init__(command)
        self.command = command

    def train(self) -> NoReturn:
        """Trains, and ends this process as the command would."""
        stop_at_once(self.command[0])
        # By its name, as a new Python is given it: what is built on sweeps is none of theirs.
        import_module("seqmodels.cli").carry_out_as(self.command)
        raise AssertionError("a command ends its process")


class Copy:
    """A copied process, with what :class:`subprocess.Popen` says and does."""

    def __init__(self, pid: int):
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """How it ended, negative where a signal killed it; None while it goes on."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends it a signal, if it goes on."""
        if self.poll() is None:
            os.kill(self.pid, number)


def start_run(
    command: list[str], output: IO[bytes], lock: int, copies: bool
) -> "Copy | subprocess.Popen[bytes]":
    """Starts what follows python, in a session of its own: Ctrl-C on a terminal comes by way of the
    worker alone.

    Args:
      output: where it writes.
      lock: a descriptor that it holds too, for as long as it lives.
      copies: whether this process is a worker and nothing else.

    Raises:
      BecomesRunError: in the copy.
    """
    if not copies or sys.platform != "linux" or command[: len(TRAIN)] != TRAIN:
        return subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            start_new_session=True,
        )
    for name in _IMPORTED:
        import_module(name)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(lock)  # the copy's, whose worker's part closes the other on its way out
    # A signal that comes before the copy has put the worker's handlers away waits until then.
    asked = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, asked)
    try:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            for number in asked:
                signal.signal(number, signal.SIG_DFL)
            with open(os.devnull, "rb") as nothing:
                os.dup2(nothing.fileno(), 0)
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            raise BecomesRunError(["seqmodels", *command[len(TRAIN) - 1 :]])
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, asked)
    os.close(kept)
    return Copy(pid)
