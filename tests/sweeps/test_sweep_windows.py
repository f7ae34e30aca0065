"""Whatever moment a sweep or one of its workers is killed at, the next start goes on."""

import json
import os
import sqlite3
from pathlib import Path
from unittest.mock import patch

import optuna
import pytest
from optuna.trial import TrialState

from seqmodels.errors import UserError
from seqmodels.sweeps import plan_file as sweep_file
from seqmodels.sweeps import run as sweep
from seqmodels.sweeps import worker as sweep_worker
from seqmodels.sweeps.groups import Group, Setting
from seqmodels.sweeps.orders import Orders
from seqmodels.sweeps.plan import Plan
from seqmodels.sweeps.points import Between
from seqmodels.sweeps.storage import PatientStorage
from seqmodels.sweeps.studies import Studies, run_of_trial
from seqmodels.sweeps.trials import Trial
from seqmodels.sweeps.worker import ATTEMPTS, DEATHS, Worker
from tests.sweeps.small_sweep import SmallSweep, WorkerHere, read_json, states

RATE = "optimizer.learning_rate"
SIZE = {"parameters": 5, "flops": 1.0, "state_bytes": 0}
RESULTS = {"validation": {"accuracy": 0.5}, "test": {"accuracy": 0.4}}
RESULTS |= {"steps": 10, "best_step": 10, "parameters": 5, "seconds": 2.0}


class Killed(BaseException):
    """The process is gone at this moment."""


def killed(*_, **__):
    raise Killed


class Nobody(WorkerHere):
    def look(self):
        return False


def group(*rates, seeds=(None,)) -> Group:
    values = [{RATE: rate} for rate in rates]
    return Group({"mixer": "gru"}, [Setting(v, {}, SIZE) for v in values], list(seeds))


class Bench:
    """A sweep's folder and study, and workers whose train.py is a function."""

    def __init__(
        self,
        folder: Path,
        storage: PatientStorage,
        of: Group,
        search: str = "grid",
        trials: int | None = None,
    ):
        runs = [run for setting in of.settings for run in of.runs(setting)]
        self.folder, self.runs, self.storage, self.name = folder, runs, storage, folder.name
        folder.mkdir()
        (folder / ".lock").touch()
        self.orders = Orders(
            folder=folder, config="", storage=folder, studies={self.name: of},
            names=frozenset(run.name for run in runs), search=search, trials=trials, prune=True,
            score="accuracy", higher_is_better=True, train=folder, devices=None, cores=None,
            heartbeat=60, patience=1.0, parent=None,
        )  # fmt: skip
        self.studies = Studies(storage, self.orders.studies, search, True, prune=True)
        (self.study,) = self.studies.all
        self.register()

    def register(self, again: bool = True) -> int:
        runs = self.runs
        if self.orders.search != "grid":
            found = map(run_of_trial, self.study.get_trials())
            own = self.orders.studies[self.name]
            runs = [other for run in found if run is not None for other in own.beside(run)]
            runs = list({run.name: run for run in runs}.values())
        return self.studies.register(self.study, runs, self.folder, again, "accuracy")[0]

    def work(self, train) -> int:
        """A worker works; ``train(worker, trial, folder)`` returns an exit code or raises."""
        with patch.object(sweep_worker, "PatientStorage", lambda *_: self.storage):
            worker = Worker(self.orders)

        def follow(trial, run, folder, descriptor):
            folder.begin()
            return train(worker, trial, folder)

        with patch.object(worker, "_start_and_follow", follow):
            return worker.work()

    def give_up(self, number: int) -> None:
        """What another worker does with the trial of one that gives no sign of life."""
        self.study.tell(number, state=TrialState.FAIL)
        self.studies.enter_again(self.study, self.study.get_trials()[number])

    def stale(self):
        """The first trial gives no sign of life."""
        (first, *_) = self.study.get_trials()
        stale = [first._trial_id]
        return patch.object(self.storage.database, "_get_stale_trial_ids", lambda _: stale)

    def of(self) -> Trial:
        return Trial(self.folder, self.runs[0].name)


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """One for all tests, each of which has a study of its own."""
    made = PatientStorage(tmp_path_factory.mktemp("storage") / "sweep.sqlite3", 60)
    yield made
    made.close()


@pytest.fixture
def bench(tmp_path, storage):
    def make(*arguments, **named):
        folder = tmp_path / f"{tmp_path.name}-{len(list(tmp_path.iterdir()))}"
        return Bench(folder, storage, *arguments, **named)

    yield make
    storage._unanswered = None


def finish(worker, trial, folder):
    (folder.folder / "results.json").write_text(json.dumps(RESULTS))
    return 0


def stop(worker, trial, folder):
    worker.stop = 2
    raise sweep_worker._StoppedError


def prune(worker, trial, folder):
    folder.set_state("pruned")
    raise optuna.TrialPruned


def fail(worker, trial, folder):
    (folder.folder / "output.txt").write_text("train.py: it failed")
    return 1


@pytest.mark.parametrize("outcome", [finish, stop, prune, fail])
def test_a_worker_that_was_given_up_for_dead_comes_back(bench, outcome):
    """Its run ends in some way; its trial has been told and entered again meanwhile."""
    made = bench(group(0.1))

    def away(worker, trial, folder):
        made.give_up(trial.number)
        return outcome(worker, trial, folder)

    calls = iter([away])
    assert made.work(lambda *given: next(calls, finish)(*given)) in (0, 2)
    if outcome is stop:
        made.work(finish)
    assert made.of().read()["state"] == "finished"
    states = [trial.state for trial in made.study.get_trials()]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]


def test_a_run_that_was_given_up_reports_to_nobody(bench, tmp_path):
    made = bench(group(0.1))

    def train(worker, trial, folder):
        made.give_up(trial.number)
        event = {"step": 1, "split": "validation", "seconds": 1.0, "accuracy": 0.5}
        (folder.folder / "metrics.jsonl").write_text(json.dumps(event) + "\n")
        assert worker._why_stop(trial, folder, set()) is None
        return finish(worker, trial, folder)

    assert made.work(train) == 0


def test_a_slow_worker_is_no_dead_one(bench):
    """However often it is given up while its run goes on, the run is not called a killer."""
    made = bench(group(0.1))
    for number in range(2 * DEATHS):
        made.study.ask()
        made.give_up(number)
    assert made.work(finish) == 0
    assert made.of().read()["state"] == "finished"


def test_kills_are_counted_by_the_run_and_not_by_the_worker(bench):
    made = bench(group(0.1))

    ends = iter([-9, None])
    with pytest.raises(Killed):
        made.work(lambda *_: next(ends) or killed())
    made.give_up(0)
    ends = iter([-9] * (ATTEMPTS - 1))

    def away(worker, trial, folder):
        if trial.number == 1 and made.study.get_trials()[1].state == TrialState.RUNNING:
            made.give_up(1)
        return next(ends)

    assert made.work(away) == 0, "who takes it next begins nothing"
    stored = made.of().read()
    assert stored["reason"] == f"train.py was killed {ATTEMPTS} times; is there enough memory?"
    assert (stored["kills"], stored["deaths"], stored["attempts"]) == (3, 1, 4)
    assert made.register(again=False) == 0
    assert made.register(again=True) == 1
    assert made.of().read()["kills"] == 0


def test_a_run_of_which_each_worker_dies_is_given_up(bench):
    made = bench(group(0.1))
    for _ in range(DEATHS - 1):
        made.of().count("deaths")
    with pytest.raises(Killed):
        made.work(killed)
    made.give_up(0)
    assert made.work(finish) == 0
    assert made.of().read()["reason"] == f"its worker died {DEATHS} times; is there enough memory?"


@pytest.mark.parametrize(
    ("moment", "search"),
    [
        ("optuna.Study.tell", "grid"),
        ("seqmodels.sweeps.studies.Studies.enter_again", "grid"),
        ("seqmodels.sweeps.studies.Studies.enter_again", "random"),
    ],
)
def test_a_worker_killed_while_it_buries_another_loses_no_run(bench, moment, search):
    trials = None if search == "grid" else 1
    made = bench(group(0.1, seeds=(0, 1)), search=search, trials=trials)
    with pytest.raises(Killed):
        made.work(killed)
    with made.stale(), patch(moment, killed), pytest.raises(Killed):
        made.studies.revive(made.study)
    with made.stale():
        made.studies.revive(made.study)
    made.register(again=False)
    assert made.work(finish) == 0
    assert states(made.folder) == {"finished": 2}


@pytest.mark.parametrize("moment", ["draw", "repeat"])
def test_a_worker_killed_while_it_proposes_costs_no_setting_and_no_seed(bench, moment):
    made = bench(group(Between(0.01, 0.5), seeds=(0, 1)), search="random", trials=2)
    place = {"draw": (sweep_worker, "run_attributes"), "repeat": (Studies, "repeat")}[moment]
    with patch.object(*place, killed), pytest.raises(Killed):
        made.work(finish)
    made.give_up(0)
    made.register(again=False)
    assert made.work(finish) == 0
    done = [read_json(file) for file in made.folder.glob("trials/*/trial.json")]
    assert sorted(trial["overrides"]["seed"] for trial in done) == [0, 0, 1, 1]
    assert len({trial["overrides"][RATE] for trial in done}) == 2


def test_nobody_is_called_dead_by_a_storage_that_was_away(bench, storage):
    made = bench(group(0.1))
    made.study.ask()
    storage._unanswered = sweep_worker.time.monotonic()
    with made.stale():
        made.studies.revive(made.study)
    assert [trial.state for trial in made.study.get_trials()] == [TrialState.RUNNING]
    storage._unanswered -= 3 * 60 + 1
    with made.stale():
        made.studies.revive(made.study)
    assert [t.state for t in made.study.get_trials()] == [TrialState.FAIL, TrialState.WAITING]


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A sweep of two runs, planned already."""
    own = group(0.1, 0.2)
    runs = [run for setting in own.settings for run in own.runs(setting)]
    begun = SmallSweep(tmp_path, "[]")
    plan = Plan(str(begun.config), [own], runs, "accuracy", True, None, "grid", None, {})
    monkeypatch.setattr(sweep, "make_plan", lambda *_: plan)
    return begun


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (sweep_file, "write_json"),
        (sweep, "PatientStorage"),
        (Trial, "enter"),
    ],
)
def test_a_sweep_killed_while_it_begins_goes_on(begun, place, name):
    with patch.object(place, name, killed), pytest.raises(Killed):
        begun.run(crew=Nobody)
    begun.run(crew=Nobody)
    assert states(begun.folder) == {"waiting": 2}
    storage = PatientStorage(begun.folder / "sweep.sqlite3", 60)
    (study,) = optuna.get_all_study_summaries(storage.database)
    assert study.n_trials == 2
    storage.close()


@pytest.mark.parametrize("tables", [0, 3])
def test_a_database_without_a_plan_goes_on(begun, tables):
    """As versions before left it that made the database first; of it there may be a part."""
    begun.folder.mkdir()
    file = begun.folder / "sweep.sqlite3"
    if tables:
        PatientStorage(file, 60).close()
        connection = sqlite3.connect(file)
        names = connection.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()
        for (table,) in names[tables:]:
            connection.execute(f"DROP TABLE {table}")
        connection.commit()
        connection.close()
    file.touch()
    begun.run(crew=Nobody)
    assert states(begun.folder) == {"waiting": 2}


def test_a_damaged_database_says_what_to_do(tmp_path):
    (tmp_path / "sweep.sqlite3").write_text("nothing that SQLite knows" * 100)
    with pytest.raises(UserError, match=r"is damaged \(file is not a database\); delete the file"):
        PatientStorage(tmp_path / "sweep.sqlite3", 60)


def test_other_peoples_files_are_no_part_of_a_sweep(tmp_path):
    for name, holds in {"notes.txt": "other files", "config.json": "a run"}.items():
        folder = tmp_path / holds
        folder.mkdir()
        for own in ("sweep.sqlite3", "sweep.sqlite3-journal", "workers.txt", ".lock", name):
            (folder / own).touch()
        with pytest.raises(UserError, match=f"holds {holds} and no sweep"):
            sweep_file.require_sweep_folder(folder)
        (folder / name).unlink()
        sweep_file.require_sweep_folder(folder)


def test_a_second_sweep_on_a_new_folder_is_no_stranger(begun):
    """There is no moment at which what the first has begun looks like other people's files."""
    looks = []
    write = sweep_file.write_json

    def look(file, content):
        looks.append(sweep_file.require_sweep_folder(begun.folder))
        write(file, content)
        looks.append(sweep_file.require_sweep_folder(begun.folder))

    with patch.object(sweep_file, "write_json", look):
        begun.run(crew=Nobody)
    assert looks == [None, None]


def test_nothing_is_stopped_that_is_no_run(bench):
    """A lock tells whom to stop: not a group of processes, nor who has its number by now."""
    made = bench(group(0.1))
    trial = made.of()
    gone = 2**31 - 1
    wrong = ["", "{", "[]", "null", '"x"', "{}", '{"machine": "x"}', "9" * 400, "[" * 10_000]
    here = {"machine": os.uname().nodename, "worker": gone}
    wrong += [json.dumps({**here, "run": run}) for run in (0, -1, 1, 1.5, "7", None, 10**400)]
    for text in wrong:
        (trial.folder / "lock").write_text(text)
        with trial.locked():
            assert trial.orphan() is None, text[:60]
    (trial.folder / "lock").write_text(json.dumps({**here, "run": 4321}))
    assert trial.orphan() is None, "nobody holds it"
    with trial.locked():
        assert trial.orphan() == 4321
        trial.note_processes(None)
        assert trial.orphan() is None
