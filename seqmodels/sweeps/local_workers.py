"""Workers of a sweep as processes of this machine."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time

from seqmodels.errors import UserError
from seqmodels.json_files import UnreadableError
from seqmodels.paths import search_path
from seqmodels.sweeps.cards import visible_cards, worker_variables
from seqmodels.sweeps.orders import Orders
from seqmodels.sweeps.trials import Trial

DEATHS = 20
"""So many workers may be killed before the sweep stops."""
_SAVE_SECONDS = 60.0


class LocalWorkers:
    """Workers, of which each of several keeps to its own cores and cards while there are enough."""

    def __init__(self, orders: Orders, count: int):
        self._orders = orders._replace(parent=os.getpid())
        self._count = count
        self._cards = visible_cards()
        self._deaths = 0
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        self._log = orders.folder / "workers.txt"

    def start(self) -> None:
        """Starts those that don't run."""
        for number in range(self._count):
            if number not in self._workers:
                self._workers[number] = self._start(number)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-P", "-m", "seqmodels.sweeps.worker"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C on a terminal comes by way of stop() alone
                env=os.environ | search_path() | worker_variables(self._cards, number, self._count),
            )
        assert worker.stdin is not None
        with worker.stdin as pipe:
            pipe.write(pickle.dumps(self._orders._replace(cores=self._cores(number))))
        return worker

    def _cores(self, number: int) -> tuple[int, ...] | None:
        if self._count == 1 or not hasattr(os, "sched_getaffinity"):
            return None
        ours = sorted(os.sched_getaffinity(0))
        return tuple(ours[number % len(ours) :: self._count])

    def look(self) -> bool:
        """Whether any works; one that has been killed is replaced.

        Raises:
          UserError: a worker has gone wrong, or too many have been killed.
        """
        for number, worker in list(self._workers.items()):
            code = worker.poll()
            if code is None:
                continue
            del self._workers[number]
            if code == 0:
                continue
            if code > 0:
                raise UserError(self._last_line())
            self._deaths += 1
            if self._deaths > DEATHS:
                raise UserError(
                    f"{self._deaths} workers have been killed, the last by signal {-code}; is "
                    "there enough memory? Try fewer workers"
                )
            self._workers[number] = self._start(number)
        return bool(self._workers)

    def stop(self) -> None:
        """Stops them, and runs whose workers have been killed; each run saves itself first."""
        for worker in self._workers.values():
            worker.send_signal(signal.SIGINT)
        for worker in self._workers.values():
            worker.wait()
        self._workers.clear()
        orphans = {}
        for folder in self._orders.folder.glob("trials/*"):
            trial = Trial(self._orders.folder, folder.name)
            run = trial.orphan()
            if run is not None:
                orphans[run] = trial
                os.kill(run, signal.SIGINT)
        deadline = time.monotonic() + _SAVE_SECONDS
        for trial in orphans.values():
            while trial.orphan() is not None and time.monotonic() < deadline:
                time.sleep(0.2)
            with trial.locked() as lock, contextlib.suppress(UnreadableError):
                if lock is not None:
                    done = (trial.folder / "results.json").exists()
                    trial.set_state("finished" if done else "waiting")

    def _last_line(self) -> str:
        said = self._log.read_text("utf-8", errors="replace")
        lines = [line for line in said.splitlines() if line]
        return lines[-1] if lines else f"a worker has ended without a word ({self._log})"
