"""A worker of a sweep: takes a run, has it trained, writes how it went, takes the next.

``python -m seqmodels.sweeps.worker`` with pickled Orders on standard input; a sweep and SLURM jobs
start it. It needs nothing but the folder, so that it may run on any machine that reaches it.
"""

import os
import pickle
import signal
import sys
import time
from typing import Any, NamedTuple

from seqmodels.errors import UserError
from seqmodels.json_files import UnreadableError
from seqmodels.sweeps.orders import Orders, train_command
from seqmodels.sweeps.pace import rest
from seqmodels.sweeps.pruning import Curve, is_poor
from seqmodels.sweeps.starting import BecomesRunError, start_run
from seqmodels.sweeps.storage import Storage, Taken
from seqmodels.sweeps.trials import State

POLL_SECONDS = 0.2
ATTEMPTS = 3
"""So often a run that a signal kills is begun, by all workers together."""
DEATHS = 5
"""So many workers may die of a run."""


class Ending(NamedTuple):
    """How the process that trains ended."""

    code: int
    """Negative where a signal killed it."""
    stopped: tuple[State, str | None] | None
    """What it was stopped for: the state that it is left in, and the reason."""


class Worker:
    """Takes runs until none is left, or until it is stopped."""

    def __init__(self, orders: Orders):
        self.orders = orders
        self.storage = Storage(orders)
        self.stop: int | None = None

    def work(self) -> int:
        """Works; returns the number of the signal that stopped it, or 0 when all is done."""
        while not self._stopping():
            begun = time.process_time()
            taken = self.storage.take()
            if taken is not None:
                try:
                    self._run(taken)
                finally:
                    os.close(taken.lock)
            elif self.storage.is_done():
                return 0
            else:  # others hold what is left, and may die of it
                rest(time.process_time() - begun, self._stopping)
        return self.stop or 0

    def _run(self, taken: Taken) -> None:
        """Trains a run until it ends, or is stopped, and writes down which."""
        trial, score = taken.trial, self.orders.score
        trial.prepare(taken.run)
        try:
            while (results := trial.results(score)) is None:
                if trial.state() == "running":
                    trial.count("deaths")  # nobody wrote down how it ended
                if (too_often := self._too_often(taken)) is not None:
                    return trial.set_state("failed", too_often)
                ending = self._start_and_follow(taken)
                if trial.results(score) is not None:
                    continue
                if ending.stopped is not None:
                    return trial.set_state(*ending.stopped)
                if ending.code >= 0:
                    code = ending.code or 1
                    return trial.set_state("failed", trial.last_line(), exit_code=code)
                trial.count("kills")
            trial.set_state("finished", seconds=results["seconds"])
        except UnreadableError as error:
            trial.prepare(taken.run)  # it may be trial.json
            trial.fail_of(error)

    def _too_often(self, taken: Taken) -> str | None:
        """What a run is given up for."""
        stored = taken.trial.read() or {}
        enough = "is there enough memory?"
        if (deaths := stored.get("deaths", 0)) >= DEATHS:
            return f"its worker died {deaths} times; {enough}"
        if (kills := stored.get("kills", 0)) >= ATTEMPTS:
            return f"it was killed {kills} times; {enough}"
        return None

    def _start_and_follow(self, taken: Taken) -> Ending:
        """Starts the training of a run, and watches it to its end."""
        trial = taken.trial
        trial.note_processes(None)
        trial.begin()
        devices = [] if self.orders.devices is None else [f"--devices={self.orders.devices}"]
        with (trial.folder / "output.txt").open("ab") as output:
            command = [*train_command(self.orders, taken.run), *devices]
            copies = self.orders.parent is not None  # or it is SLURM's
            process = start_run(command, output, taken.lock, copies)
        trial.note_processes(process.pid)
        why = None
        seen: Curve = {}
        while (code := process.poll()) is None:
            time.sleep(POLL_SECONDS)
            if why is None:
                why = self._why_stop(taken, seen)
                if why is not None:
                    process.send_signal(signal.SIGINT)  # it saves and ends
        return Ending(code, why)

    def _why_stop(self, taken: Taken, seen: Curve) -> tuple[State, str | None] | None:
        """What a run in progress is to be stopped for; None lets it go on.

        The validations of ``seen`` have been judged; new ones are added to it.
        """
        if self._stopping():
            return "waiting", None
        if not self.orders.prune:
            return None
        score, higher = self.orders.score, self.orders.higher_is_better
        for step, value in taken.trial.validations(score).items():
            if step not in seen:
                seen[step] = value
                if is_poor(seen, self.storage.finished_curves(taken.group), higher):
                    of = f"its {score} {value:.4g}"
                    return "pruned", f"at step {step} {of} is worse than the median of its group"
        return None

    def _stopping(self) -> bool:
        if self.orders.parent is not None and os.getppid() != self.orders.parent:
            self.stop = self.stop or signal.SIGTERM  # nobody is left to look after this worker
        return self.stop is not None


def work(orders: Orders) -> int:
    """Works in this process; returns its exit code."""
    if orders.cores is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, orders.cores)
    try:
        worker = Worker(orders)

        def note(number: int, frame: Any) -> None:
            worker.stop = number

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, note)
        stopped = worker.work()
        return 128 + stopped if stopped else 0
    except BecomesRunError as run:
        run.train()
    except UserError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(work(pickle.load(sys.stdin.buffer)))
