"""A worker of a sweep: takes a trial, runs it by train.py, tells how it went, takes the next.

``python -m seqmodels.sweeps.worker`` with pickled Orders on standard input; ``sweep.py`` and SLURM
jobs start it. It needs nothing but the folder and the storage, so that it may run on any machine
that reaches both.
"""

import contextlib
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from functools import partial
from typing import Any, NoReturn

import optuna
from optuna.trial import TrialState

from seqmodels.errors import UserError
from seqmodels.json_files import UnreadableError
from seqmodels.sweeps.groups import Run, setting_text, settings_to_try, text_digest
from seqmodels.sweeps.orders import Orders, storage_place, train_command
from seqmodels.sweeps.points import Between
from seqmodels.sweeps.storage import PatientStorage
from seqmodels.sweeps.studies import Studies, run_attributes, run_of_trial
from seqmodels.sweeps.trials import Trial, folder_lock

POLL_SECONDS = 0.2
IDLE_SECONDS = 1.0
ATTEMPTS = 3
"""So often a run that a signal kills is begun, by all workers together."""
DEATHS = 5
"""So many workers may die of a run."""


class _StoppedError(Exception):
    """The worker has been asked to stop, and its run has saved itself."""


class _NothingError(Exception):
    """This trial runs nothing: a setting was proposed twice, or enough of them have been tried."""


class _FailedError(Exception):
    """The run has failed, which is written down."""


class Worker:
    """Takes trials until none is left, or until it is stopped.

    Raises:
      StorageLostError: the storage has not answered for ``orders.patience`` seconds.
    """

    def __init__(self, orders: Orders):
        self.orders = orders
        self.stop: int | None = None
        self.storage = PatientStorage(storage_place(orders), orders.heartbeat, orders.patience)
        self.studies = Studies(
            self.storage, orders.studies, orders.search, orders.higher_is_better, orders.prune
        )

    def work(self) -> int:
        """Works; returns the number of the signal that stopped it, or 0 when all is done."""
        while not self._stopping():
            self._raise_if_lost()
            for study in self.studies.all:
                self.studies.revive(study)
            study = self._choose()
            if study is not None:
                self._take_trial(study)
            elif any(self.studies.trials(s, TrialState.RUNNING) for s in self.studies.all):
                time.sleep(IDLE_SECONDS)
            else:
                return 0
        return self.stop or 0

    def _take_trial(self, study: optuna.Study) -> None:
        """Runs the next trial of a study and tells how it ended.

        What was given up for dead, this worker having been stopped or the storage away, is told
        already: whoever takes it next waits for this run and finds it finished.
        """
        trial = self.storage.ask(study.ask)  # one that waits, or a new one
        with self.storage.signs_of_life(trial._trial_id):
            try:
                value = self._run_trial(study, trial)
                self.studies.tell(study, trial, TrialState.COMPLETE, value)
            except optuna.TrialPruned:
                self.studies.tell(study, trial, TrialState.PRUNED)
            except (_NothingError, _FailedError, _StoppedError):
                self.studies.tell(study, trial, TrialState.FAIL)
            except optuna.exceptions.UpdateFinishedTrialError:
                pass

    def _choose(self) -> optuna.Study | None:
        """The study with something to do in which the least has been begun."""
        begun = {}
        for index, study in enumerate(self.studies.all):
            trials = self.studies.trials(study)
            waiting = sum(trial.state == TrialState.WAITING for trial in trials)
            if waiting or self._may_propose(study):
                begun[index] = len(trials) - waiting
        return self.studies.all[min(begun, key=lambda index: begun[index])] if begun else None

    def _may_propose(self, study: optuna.Study, but: int | None = None) -> bool:
        """Whether fewer settings have been proposed, but for one trial's, than are to be tried."""
        if self.orders.search == "grid":
            return False
        assert self.orders.trials is not None
        wanted = settings_to_try(self.studies.group(study), self.orders.trials)
        return len(self.studies.settings(study, but)) < wanted

    def _run_trial(self, study: optuna.Study, trial: optuna.Trial) -> float:
        self.studies.note(trial, {"begun": True})
        run = run_of_trial(self.studies.trials(study)[trial.number])
        if run is None:
            with folder_lock(self.orders.folder):  # else two workers might propose the last one
                run = self._propose(study, trial)
        elif self.orders.search == "grid" and run.name not in self.orders.names:
            raise _NothingError
        folder = Trial(self.orders.folder, run.name)
        folder.prepare(run)
        try:
            results = self._train(trial, run, folder)
        except _StoppedError:
            folder.set_state("waiting")
            frozen = self.studies.trials(study)[trial.number]
            if not frozen.state.is_finished():
                self.studies.enter_again(study, frozen)
            raise
        folder.set_state("finished", seconds=results["seconds"])
        return results["validation"][self.orders.score]

    def _propose(self, study: optuna.Study, trial: optuna.Trial) -> Run:
        """Draws a setting; returns its run with the first seed and enters those with the others."""
        group = self.studies.group(study)
        if not self._may_propose(study, but=trial.number):
            raise _NothingError
        ask = self.storage.ask
        settings = {setting_text(setting.values): setting for setting in group.settings}
        # A study takes no other choices for what it has drawn before; added points make others.
        texts = sorted(settings)
        name = f"setting of {text_digest(*texts)}"
        setting = settings[ask(partial(trial.suggest_categorical, name, texts))]
        values = dict(setting.values)
        for key, value in values.items():
            if isinstance(value, Between):
                values[key] = ask(
                    partial(trial.suggest_float, key, value.low, value.high, log=True)
                )
        taken = self.studies.settings(study, but=trial.number)
        if setting_text(values) in taken:
            if free := sorted(settings.keys() - taken):
                ask(partial(study.enqueue_trial, {name: random.choice(free)}))
            raise _NothingError
        first = group.runs(setting._replace(values=values))[0]
        self.studies.note(trial, run_attributes(first))
        self.studies.repeat(study, trial, first)
        return first

    def _train(self, trial: optuna.Trial, run: Run, folder: Trial) -> dict[str, Any]:
        """Runs train.py in the trial's folder until it ends; returns its results."""
        while True:
            with folder.locked() as descriptor:
                if descriptor is not None:
                    return self._train_alone(trial, run, folder, descriptor)
            # A run that has outlived its worker goes on there.
            if self._stopping():
                raise _StoppedError
            self._raise_if_lost()
            time.sleep(IDLE_SECONDS)

    def _train_alone(
        self, trial: optuna.Trial, run: Run, folder: Trial, descriptor: int
    ) -> dict[str, Any]:
        stored = folder.read()
        kills = (stored or {}).get("kills", 0)
        deaths = (stored or {}).get("deaths", 0)
        try:
            while (results := folder.results(self.orders.score)) is None:
                stored = folder.read()
                if stored is not None and stored["state"] == "running":
                    deaths = folder.count("deaths")  # nobody wrote down how it ended
                enough = "is there enough memory?"
                if deaths >= DEATHS:
                    self._fail(trial, folder, 1, f"its worker died {deaths} times; {enough}")
                if kills >= ATTEMPTS:
                    self._fail(trial, folder, 1, f"train.py was killed {kills} times; {enough}")
                code = self._start_and_follow(trial, run, folder, descriptor)
                if code < 0:
                    kills = folder.count("kills")
                elif folder.results(self.orders.score) is None:
                    self._fail(trial, folder, code or 1, folder.last_line())
        except UnreadableError as error:
            self._fail(trial, folder, 1, f"{error}; put back a copy of it, or delete it to go on")
        return results

    def _fail(self, trial: optuna.Trial, folder: Trial, code: int, reason: str) -> NoReturn:
        """Writes a failure down that is not to be tried again."""
        folder.set_state("failed", reason)
        self.studies.note(trial, {"exit_code": code})
        raise _FailedError(reason)

    def _start_and_follow(
        self, trial: optuna.Trial, run: Run, folder: Trial, descriptor: int
    ) -> int:
        """Starts train.py and watches it: its exit code, negative where a signal killed it."""
        folder.note_processes(None)
        folder.begin()
        devices = [] if self.orders.devices is None else [f"--devices={self.orders.devices}"]
        with (folder.folder / "output.txt").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, *train_command(self.orders, run), *devices],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(descriptor,),
                start_new_session=True,  # Ctrl-C on a terminal comes by way of the worker alone
            )
        folder.note_processes(process.pid)
        why = None
        reported: set[int] = set()
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
            if why is None:
                why = self._why_stop(trial, folder, reported)
                if why is not None:
                    process.send_signal(signal.SIGINT)  # it saves and ends
        if why is not None and folder.results(self.orders.score) is None:
            if isinstance(why, optuna.TrialPruned):
                folder.set_state("pruned", str(why))
            elif not isinstance(why, _StoppedError):
                folder.set_state("waiting")
            raise why
        return process.returncode

    def _why_stop(self, trial: optuna.Trial, folder: Trial, reported: set[int]) -> Exception | None:
        """What a run in progress is to be stopped for; None lets it go on."""
        if self._stopping():
            return _StoppedError()
        if self.storage.lost is not None:
            return self.storage.lost
        if not self.orders.prune:
            return None
        try:
            for step, value in folder.validations(self.orders.score):
                if step not in reported:
                    reported.add(step)
                    self.storage.ask(partial(trial.report, value, step))
                    if self.storage.ask(trial.should_prune):
                        return optuna.TrialPruned(
                            f"at step {step} its {self.orders.score} {value:.4g} is worse than the "
                            "median of its group"
                        )
        except optuna.exceptions.UpdateFinishedTrialError:
            pass  # it was given up for dead, and goes on unheard
        except UserError as error:  # the storage is lost
            return error
        return None

    def _raise_if_lost(self) -> None:
        if self.storage.lost is not None:
            raise self.storage.lost

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
        with contextlib.closing(worker.storage):
            stopped = worker.work()
        return 128 + stopped if stopped else 0
    except UserError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(work(pickle.load(sys.stdin.buffer)))
