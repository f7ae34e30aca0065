"""Whatever moment a sweep or one of its workers is killed at, the next start goes on."""

import fcntl
import json
import os
from collections import Counter
from unittest.mock import patch

import numpy as np
import optuna
import pytest

from seqmodels import json_files
from seqmodels.errors import UserError
from seqmodels.sweeps import plan_file as sweep_file
from seqmodels.sweeps import run as sweep
from seqmodels.sweeps import search as sweep_search
from seqmodels.sweeps.plan import Plan
from seqmodels.sweeps.points import Between
from seqmodels.sweeps.pruning import is_poor
from seqmodels.sweeps.search import Tried, propose
from seqmodels.sweeps.storage import Storage
from seqmodels.sweeps.trials import Trial
from seqmodels.sweeps.worker import ATTEMPTS, DEATHS, Ending, Worker
from tests.sweeps.bench import RATE, Bench, Killed, finish, group, killed
from tests.sweeps.small_sweep import SmallSweep, WorkerHere, states, trials


class Nobody(WorkerHere):
    def look(self):
        return False


def fail(worker, taken):
    (taken.trial.folder / "output.txt").write_text("train.py: it failed")
    return Ending(1, None)


def diverge(worker, taken):
    return fail(worker, taken)._replace(code=3)


def is_killed(worker, taken):
    return Ending(-9, None)


def stop(worker, taken):
    worker.stop = 2
    return Ending(130, ("waiting", None))


def test_a_run_is_taken_by_one(tmp_path):
    """By workers of one sweep, of two, or of two machines: the folder is all that they share."""
    made = Bench(tmp_path, group(0.1, 0.2), group(0.3, mixer="rnn"))
    held = [Storage(made.orders).take() for _ in range(4)]
    rates = [one and one.run.overrides[RATE] for one in held]
    assert rates == [0.1, 0.2, 0.3, None], "nothing is written before a run begins"
    assert not made.storage.is_done()
    os.close(held[1].lock)
    held[0].trial.begin()
    again = made.storage.take()
    assert again.run.overrides[RATE] == 0.2, "gru has begun one, rnn's is held"
    again.trial.set_state("finished", seconds=1.0)
    for one in (held[0], held[2], again):
        os.close(one.lock)
    last = made.storage.take()
    assert last.run.overrides[RATE] == 0.3, "rnn has begun the least"
    os.close(last.lock)
    assert made.work(finish) == 0


def test_a_run_that_ends_while_it_is_looked_at_is_not_taken(tmp_path):
    made = Bench(tmp_path, group(0.1))
    take = Trial.take

    def just_ended(trial):
        trial.set_state("finished", seconds=1.0)
        return take(trial)

    with patch.object(Trial, "take", just_ended):
        assert made.storage.take() is None
    with made.first().locked() as lock:
        assert lock is not None, "it is let go of"


def test_kills_are_counted_by_the_run_and_not_by_the_worker(tmp_path):
    made = Bench(tmp_path, group(0.1))
    ends = iter([is_killed, killed])
    with pytest.raises(Killed):
        made.work(lambda *given: next(ends)(*given))
    assert made.first().read()["state"] == "running"
    assert made.work(is_killed) == 0
    stored = made.first().read()
    assert stored["reason"] == f"it was killed {ATTEMPTS} times; is there enough memory?"
    assert (stored["kills"], stored["deaths"], stored["attempts"]) == (3, 1, 4)
    assert made.work(finish) == 0, "who comes next begins nothing"
    assert made.first().read()["state"] == "failed"
    made.storage.enter()
    assert made.first().read()["kills"] == 0
    assert made.work(finish) == 0
    assert made.first().read()["state"] == "finished"


def test_a_run_of_which_each_worker_dies_is_given_up(tmp_path):
    made = Bench(tmp_path, group(0.1))
    for _ in range(DEATHS):
        with pytest.raises(Killed):
            made.work(killed)
        made.storage.enter()
    assert made.work(finish) == 0
    assert made.first().read()["reason"] == (
        f"its worker died {DEATHS} times; is there enough memory?"
    )


@pytest.mark.parametrize(("outcome", "attempts"), [(fail, 2), (diverge, 1), (stop, 2)])
def test_a_new_start_tries_again_what_did_not_diverge(tmp_path, outcome, attempts):
    made = Bench(tmp_path, group(0.1))
    made.work(outcome)
    stored = made.first().read()
    assert stored["state"] == ("waiting" if outcome is stop else "failed")
    assert stored["reason"] == (None if outcome is stop else "it failed")
    made.storage.enter()
    made.work(finish)
    assert made.first().read()["attempts"] == attempts
    assert made.first().read()["state"] == ("failed" if outcome is diverge else "finished")


def test_a_sweep_starts_beside_one_that_runs(tmp_path):
    """What is being run is left to who runs it."""
    made = Bench(tmp_path, group(0.1, 0.2))

    def second_start(worker, taken):
        taken.trial.set_state("failed", "it seems")
        Bench(tmp_path, group(0.1, 0.2))
        assert taken.trial.read()["reason"] == "it seems"
        return finish(worker, taken)

    assert made.work(second_start) == 0
    assert states(tmp_path) == {"finished": 2}


def test_what_a_worker_can_not_read_is_of_that_run(tmp_path):
    made = Bench(tmp_path, group(0.1, 0.2))
    first = made.first()

    def spoil(worker, taken):
        if taken.trial.name == first.name:
            (first.folder / "trial.json").write_text("[]")
        return finish(worker, taken)

    assert made.work(spoil) == 0
    assert states(tmp_path) == {"finished": 1, "failed": 1}
    assert "put back a copy of it" in first.read()["reason"]


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A sweep of three runs, planned already; its workers call a function for train.py."""
    begun = SmallSweep(tmp_path, "[]")
    begun.config.write_text("")
    trained = Counter()

    def follow(worker, taken):
        taken.trial.begin()
        ending = finish(worker, taken)
        trained[taken.trial.folder] += 1
        return ending

    monkeypatch.setattr(Worker, "_start_and_follow", follow)
    monkeypatch.setattr(sweep.time, "sleep", killed)  # nothing is waited for
    return begun, trained


def planned(begun, search):
    own = group(Between(0.01, 0.5) if search == "random" else 0.1, 0.2, seeds=(0, 1))
    runs, tries = (own.every(), None) if search == "grid" else ([], 2)
    if search == "stages":
        own = group(0.1, seeds=(0, 1))._replace(above=tuple(group(0.2).settings))
        runs, tries = [own.runs(own.settings[0])[0]], None
    plan = Plan(str(begun.config), [own], runs, "accuracy", True, None, search, tries, {})
    return patch.object(sweep, "make_plan", lambda *_: plan)


@pytest.mark.slow
@pytest.mark.parametrize("search", ["grid", "stages", "random"])
def test_a_sweep_killed_at_each_write_goes_on(begun, tmp_path, search):
    """At the first file that it writes, at the second, and so on to the last."""
    made, trained = begun
    write = json_files.write_whole
    kills, is_whole = 0, False
    while not is_whole:
        made.folder = tmp_path / f"{search}-{kills}"
        trained.clear()
        left = iter(range(kills))

        def at(file, content, left=left):
            if next(left, None) is None:
                raise Killed
            write(file, content)

        with planned(made, search):
            try:
                with patch.object(json_files, "write_whole", at):
                    made.run()
                is_whole = True
            except Killed:
                kills += 1
            made.run()
        wanted = {"finished": 3 if search == "stages" else 4}
        assert states(made.folder) == wanted, f"killed at write {kills}"
        assert set(trained.values()) == {1}
        assert len({trial["overrides"][RATE] for trial in trials(made.folder)}) == 2
    assert kills > 10


def test_a_database_of_versions_before_is_left_alone(begun):
    """Also where such a version was killed between making it and its plan."""
    made, _ = begun
    made.folder.mkdir()
    (made.folder / "sweep.sqlite3").write_text("a database")
    with planned(made, "grid"):
        made.run(crew=Nobody)
    assert states(made.folder) == {"waiting": 4}
    assert (made.folder / "sweep.sqlite3").read_text() == "a database"


def test_workers_propose_one_after_another(tmp_path):
    """Each knows what the others have proposed; of one setting that is wanted there is one."""
    made = Bench(tmp_path, group(Between(0.01, 0.5)), search="random", tries=1)

    def look(*given):
        with (tmp_path / ".lock").open("w") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return propose(*given)

    with patch.object(sweep_search, "propose", look):
        taken = made.storage.take()
    assert Storage(made.orders).take() is None
    assert not made.storage.is_done()
    os.close(taken.lock)
    again = Storage(made.orders).take()
    assert again.run == taken.run
    os.close(again.lock)


def test_a_search_learns_from_the_folders(tmp_path):
    """What has finished and what was pruned, in each group's own settings of now."""
    made = Bench(tmp_path, group(Between(0.01, 0.5), 0.7), search="tpe", tries=6)
    ends = iter([finish, fail, finish])

    def end(worker, taken):
        if (outcome := next(ends, None)) is not None:
            return outcome(worker, taken)
        event = {"step": 7, "split": "validation", "seconds": 1.0, "accuracy": 0.3}
        (taken.trial.folder / "metrics.jsonl").write_text(json.dumps(event) + "\n")
        return Ending(130, ("pruned", "it is poor"))

    assert made.work(end) == 0
    assert states(tmp_path) == {"finished": 2, "failed": 1, "pruned": 3}
    told, create = [], optuna.create_study

    def note(**given):
        told.append(create(**given))
        return told[-1]

    more = Storage(made.orders._replace(trials=7, groups=[group(Between(0.001, 0.5), 0.7)]))
    with patch.object(optuna, "create_study", note):
        taken = more.take()
    os.close(taken.lock)
    seventh = taken.run
    learned = [t for t in told[0].get_trials() if t.state.is_finished()]
    assert Counter(t.value or t.intermediate_values[7] for t in learned) == {0.5: 2, 0.3: 3}
    drawn = {t.params[RATE] for t in learned if RATE in t.params}
    rates = {trial["overrides"][RATE] for trial in trials(tmp_path)} - {seventh.overrides[RATE]}
    assert drawn < rates
    assert len(learned) - len(drawn) <= 1, "0.7 is no draw"
    assert all(t.distributions[RATE].low == 0.001 for t in learned if RATE in t.params)


def test_a_search_of_listed_settings_tries_each_once():
    own = group(0.1, 0.2, 0.3)
    tried = []
    for _ in range(3):
        tried.append(Tried(propose(own, tried, "random", True), 0.5, {}))
    assert sorted(one.run.overrides[RATE] for one in tried) == [0.1, 0.2, 0.3]


@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")  # Optuna's
def test_what_is_pruned_is_what_optuna_would_prune():
    random = np.random.default_rng(0)
    outcomes = Counter()
    for case in range(200):
        higher = bool(case % 2)
        study = optuna.create_study(
            direction="maximize" if higher else "minimize", pruner=optuna.pruners.MedianPruner()
        )
        curves = []
        for _ in range(random.integers(3, 9)):
            steps = [step for step in range(1, 6) if random.random() < 0.8]
            values = random.choice(
                [0.1, 0.2, 0.3, float("nan")], len(steps), p=[0.3, 0.3, 0.3, 0.1]
            )
            curves.append(dict(zip(steps, map(float, values), strict=True)))
            study.add_trial(optuna.create_trial(value=0.5, intermediate_values=curves[-1]))
        trial, seen = study.ask(), {}
        for step in range(1, 5):
            seen[step] = float(random.choice([0.1, 0.2, float("nan")]))
            trial.report(seen[step], step)
            assert is_poor(seen, curves, higher) == trial.should_prune()
            outcomes[is_poor(seen, curves, higher)] += 1
    assert min(outcomes.values()) > 50


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
    made, _ = begun
    looks = []
    write = sweep_file.write_json

    def look(file, content):
        looks.append(sweep_file.require_sweep_folder(made.folder))
        write(file, content)
        looks.append(sweep_file.require_sweep_folder(made.folder))

    with patch.object(sweep_file, "write_json", look), planned(made, "grid"):
        made.run(crew=Nobody)
    assert looks == [None, None]


def test_nothing_is_stopped_that_is_no_run(tmp_path):
    """A lock tells whom to stop: not a group of processes, nor who has its number by now."""
    trial = Bench(tmp_path, group(0.1)).first()
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
