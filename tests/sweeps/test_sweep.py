"""Sweeps: planned, run, stopped, killed, gone on with, searched, pruned, summarised."""

import json
import os
import pickle
import re
import signal
import sys
from collections import Counter
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from ml_collections import ConfigDict

from seqmodels.command import carried_out
from seqmodels.config import override
from seqmodels.errors import ConfigError, UserError
from seqmodels.sweeps.display import SweepDisplay
from seqmodels.sweeps.groups import Group, override_texts
from seqmodels.sweeps.local_workers import LocalWorkers
from seqmodels.sweeps.matching import Match
from seqmodels.sweeps.orders import Orders
from seqmodels.sweeps.plan import make_plan
from seqmodels.sweeps.run import _Sweep
from seqmodels.sweeps.slurm import SlurmJobs, require_slurm
from seqmodels.sweeps.summary import summary_rows
from seqmodels.sweeps.trials import Trial
from seqmodels.sweeps.worker import Worker
from tests.command_line import finish, read_json
from tests.sweeps.small_sweep import (
    ROOT,
    SmallSweep,
    WorkerHere,
    assert_none_lost_and_none_twice,
    in_progress,
    kill_a_worker_twice,
    lives,
    outputs,
    states,
    trials,
    wait_for,
)

RATE = "optimizer.learning_rate"
SIX = f"product({{'mixer': ('gru', 'rnn')}}, {{'{RATE}': (0.1, 0.2, 0.3)}})"


@pytest.mark.slow
def test_a_sweep_runs_each_point_once_and_says_so(tmp_path, capsys):
    sweep = SmallSweep(tmp_path, SIX)
    sweep.run()
    assert states(sweep.folder) == {"finished": 6}
    assert all(text.count("finished in") == 1 for text in outputs(sweep.folder))
    shown = capsys.readouterr().out
    assert re.search(
        r"^6/6  mixer=\w+ optimizer.learning_rate=0.3  validation accuracy 0.300", shown, re.M
    )
    assert "6 of 6 runs finished, 0 failed, 0 pruned; compared in" in shown
    described = read_json(sweep.folder / "sweep.json")
    assert {point["name"] for point in described["points"]} == {
        path.name for path in sweep.folder.glob("trials/*")
    }
    assert described["score"] == "accuracy"
    assert described["higher_is_better"]
    assert described["match"] == {"by": None, "target": None, "tolerance": 0.03}
    gru = read_json(sweep.folder / "summary.json")[0]
    assert gru["arguments"] == {"mixer": "gru"}
    assert (gru["chosen"], gru["validation"]["mean"]) == ({RATE: 0.3}, 0.3)
    assert (gru["seeds"], gru["failed"], gru["trials"], gru["seconds"]) == (1, 0, 3, 2.0)
    assert (sweep.folder / "summary.csv").read_text().startswith("mixer,parameters,optimizer.le")

    # Added points alone are run; the rest is left as it is, bit for bit.
    before = {file: file.stat().st_mtime_ns for file in sweep.folder.glob("trials/*/*")}
    sweep.points(SIX.replace("0.3)", "0.3, 0.666)"))
    sweep.run()
    assert {file: file.stat().st_mtime_ns for file in before} == before
    # A run that diverges counts as failed, with its reason, and the others are run.
    assert states(sweep.folder) == {"finished": 6, "failed": 2}
    failed = [trial for trial in trials(sweep.folder) if trial["state"] == "failed"]
    assert {trial["reason"] for trial in failed} == {"the loss is nan at step 7; try less"}
    assert [row["failed"] for row in read_json(sweep.folder / "summary.json")] == [1, 1]
    # It would diverge again: it is not run again.
    sweep.run()
    assert [trial["attempts"] for trial in trials(sweep.folder)] == [1] * 8

    with pytest.raises(UserError, match=r"holds another sweep: common.seed=absent, now '3'"):
        sweep.run(("seed", "3"))
    sweep.config.write_text(sweep.config.read_text().replace("length=20", "length=21"))
    (one,) = list(sweep.folder.glob("trials/*"))[:1]
    stored = {"seed": 5, "task": {"kind": "copy"}, "model": {}, "optimizer": {}}
    stored |= {"train": {"steps": 1, "length": 20}}
    (one / "config.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match=r"a sweep of another version of .*small.py: run \S+ has"):
        sweep.run()


@pytest.mark.slow
def test_a_mistake_shows_before_anything_is_written(tmp_path):
    wrong = {
        "product({'mixer': ('gru', 'lstn')})": "mixer=lstn: mixer='lstn' is not a preset; did",
        "product({'mixr': ('gru',)})": "config argument 'mixr' is not known; did you mean 'mixer'",
        "product({'model.widht': (8, 16)})": "'model.widht' does not exist; did you mean",
        "product({'seed': (0, -1)})": "seed=-1 is not at least 0",
        f"[{{'{RATE}': Between(1e-3, 1e-1)}}]": "is a range; take search=random or tpe",
        f"product({{'{RATE}': (0.1, 'high')}})": "wants float",
        "[{'model.dropout': Between(0.1, 1.5)}]": "model.dropout=1.5 is not at least 0 and below",
    }
    for points, message in wrong.items():
        sweep = SmallSweep(tmp_path, points)
        with pytest.raises(ConfigError, match=re.escape(message)):
            sweep.run()
    sweep = SmallSweep(tmp_path, SIX)
    with pytest.raises(ConfigError, match=r"config key 'train\.step' does not exist"):
        sweep.run(("train.step", "3"))
    with pytest.raises(UserError, match="search=tpe takes trials=N"):
        sweep.run(search="tpe")
    with pytest.raises(UserError, match="slurm=gpu"):
        sweep.run(slurm="gpu")
    assert not sweep.folder.exists()
    sweep.folder.mkdir()
    (sweep.folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match="holds a run and no sweep"):
        sweep.run()
    sweep.run(dry_run=True)


@pytest.mark.slow
def test_a_plan_is_fair_and_names_runs_by_what_they_are(tmp_path, capsys):
    points = f"product({{'mixer': ('gru', 'lstm')}}, {{'{RATE}': (0.1, 0.2), 'seed': (0, 1)}})"
    sweep = SmallSweep(tmp_path, points)
    match = Match("parameters", 30e3)
    plan = make_plan(str(sweep.config), [("train.log_every", "7")], match, "grid", None)
    assert len(plan.runs) == 8
    tried = [
        {(run.overrides[RATE], run.overrides["seed"]) for run in plan.runs if run.arguments == own}
        for own in ({"mixer": "gru"}, {"mixer": "lstm"})
    ]
    assert tried[0] == tried[1] == {(0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)}
    assert [run.arguments["mixer"] for run in plan.runs[:4]] == ["gru", "gru", "lstm", "lstm"]
    for run in plan.runs:
        assert run.size["parameters"] == pytest.approx(30_000, rel=0.03)
        assert run.overrides["train.log_every"] == 7
    widths = {run.arguments["mixer"]: run.overrides["model.width"] for run in plan.runs}
    assert widths["lstm"] < widths["gru"]
    seven, eight = (
        make_plan(str(sweep.config), [("train.log_every", every)], None, "grid", None)
        for every in ("7", "8")
    )
    assert [run.arguments for run in seven.runs] == [run.arguments for run in eight.runs]
    assert not {run.name for run in seven.runs} & {run.name for run in eight.runs}
    # An override of the command line wins over a point's own, and doubles are run once.
    assert len(make_plan(str(sweep.config), [("seed", "3")], None, "grid", None).runs) == 4

    sweep.run(("train.log_every", "7"), dry_run=True, match="parameters", target=30_000.0)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    assert [line.split()[0] for line in lines[:8]] == [run.name for run in plan.runs]
    said = r"^\S+-\w{12}  mixer=gru .*seed=0 .* [\d,]+ parameters, [\d.]+ MFLOPs"
    assert re.search(said, lines[0])
    assert lines[-1] == "8 runs; none was begun"
    assert not sweep.folder.exists()


def test_a_tuple_of_a_point_is_one_again_after_json():
    point = {"model.pattern": ("gru", "local"), RATE: 0.1, "seed": 0}
    stored = json.loads(json.dumps(point))
    assert override_texts(stored) == override_texts(point)
    config = ConfigDict({"model": {"pattern": ("gru",)}})
    override(config, *override_texts(stored)[0])
    assert config.model.pattern == ("gru", "local")


def test_the_choice_is_made_on_validation(tmp_path):
    """0.2 validates best on average; 0.3 has a better run but lost a seed; 0.1 tests best."""
    scores = {
        (0.1, 0): (0.5, 0.99), (0.1, 1): (0.5, 0.97),
        (0.2, 0): (0.6, 0.50), (0.2, 1): (0.7, 0.60),
        (0.3, 0): (0.9, 0.95),
    }  # fmt: skip
    points = []
    for rate in (0.1, 0.2, 0.3):
        for seed in (0, 1):
            name = f"{rate}-{seed}"
            folder = tmp_path / "trials" / name
            folder.mkdir(parents=True)
            failed = (rate, seed) not in scores
            overrides = {RATE: rate, "seed": seed, "model.width": 88, "train.steps": 5}
            size = {"parameters": round(1000 * rate), "flops": 1.0, "state_bytes": 0}
            point = {
                "name": name, "arguments": {"mixer": "x"}, "overrides": overrides, "size": size
            }  # fmt: skip
            points.append(point)
            state = {"state": "failed" if failed else "finished", "reason": None}
            (folder / "trial.json").write_text(
                json.dumps({**point, **state, "attempts": 1, "seconds": None})
            )
            if not failed:
                validation, test = scores[rate, seed]
                results = {
                    "validation": {"loss": validation},
                    "test": {"loss": test},
                    **{"parameters": 7, "steps": 5, "best_step": 5, "seconds": 4.0},
                }
                (folder / "results.json").write_text(json.dumps(results))
    described = {
        "kind": "sweep", "id": "1", "config": "x.py", "command": "", "search": "grid",
        "score": "loss", "higher_is_better": True, "points": points,
        "common": {"train.steps": "5"},
        "match": {"by": "parameters", "target": 200.0, "tolerance": 0.03},
    }  # fmt: skip
    (tmp_path / "sweep.json").write_text(json.dumps(described))
    (row,) = summary_rows(tmp_path)
    assert row["chosen"] == {RATE: 0.2}
    assert row["validation"] == {
        "mean": pytest.approx(0.65),
        "deviation": pytest.approx(0.0707, rel=1e-3),
        "values": [0.6, 0.7],
    }
    assert row["test"]["mean"] == pytest.approx(0.55)
    assert (row["seeds"], row["failed"], row["trials"], row["seconds"]) == (2, 1, 6, 4.0)
    assert row["parameters"] == 200
    file = tmp_path / "trials/0.2-1/results.json"
    machine = {"processor": "A", "cores": 2, "devices": "", "platform": "", "sharing": 1}
    cost = {"step_seconds": None, "step_bytes": None, "state_bytes": 0, "decode_seconds": None}
    file.write_text(json.dumps(read_json(file) | {"cost": cost | {"machine": machine}}))
    assert summary_rows(tmp_path)[0]["seconds"] is None, "its seeds ran on two machines"
    (tmp_path / "sweep.json").write_text(json.dumps(described | {"higher_is_better": False}))
    assert summary_rows(tmp_path)[0]["chosen"] == {RATE: 0.1}


@pytest.mark.slow
@pytest.mark.parametrize("search", ["random", "tpe"])
def test_a_search_tries_as_many_settings_of_each_group(tmp_path, search):
    """One group draws from a range, the other has three settings and tries no more."""
    points = (
        f"chain(product({{'mixer': ('gru',)}}, [{{'{RATE}': Between(0.01, 0.5)}}], "
        f"{{'seed': (0, 1)}}), product({{'mixer': ('rnn',)}}, {{'{RATE}': (0.1, 0.2, 0.3)}}))"
    )
    sweep = SmallSweep(tmp_path, points)
    sweep.run(search=search, trials=4)
    own = {"gru": [], "rnn": []}
    for trial in trials(sweep.folder):
        own[trial["arguments"]["mixer"]].append(trial["overrides"])
    assert states(sweep.folder) == {"finished": 4 * 2 + 3}
    assert sorted(overrides[RATE] for overrides in own["rnn"]) == [0.1, 0.2, 0.3]
    drawn = Counter(overrides[RATE] for overrides in own["gru"])
    assert set(drawn.values()) == {2}, "each with both seeds"
    assert all(0.01 <= rate <= 0.5 for rate in drawn)
    (gru, rnn) = sorted(
        read_json(sweep.folder / "summary.json"), key=lambda row: row["arguments"]["mixer"]
    )
    assert gru["chosen"] == {RATE: max(drawn)}
    assert (gru["trials"], rnn["trials"]) == (8, 3)
    sweep.points(points.replace("(0.1,", "(0.4, 0.1,").replace("0.5)", "0.6)"))
    sweep.run(search=search, trials=5)
    assert states(sweep.folder) == {"finished": 5 * 2 + 4}, "points that were added are tried too"


@pytest.mark.slow
def test_poor_runs_are_pruned_and_others_are_not(tmp_path, monkeypatch):
    look = Worker._why_stop

    def look_and_say(self, taken, seen):
        why = look(self, taken, seen)
        (taken.trial.folder / "seen").write_text(str(len(seen)))
        return why

    monkeypatch.setattr(Worker, "_why_stop", look_and_say)
    (tmp_path / "paced").touch()
    rates = "0.90, 0.91, 0.92, 0.93, 0.94, 0.1, 0.95"
    sweep = SmallSweep(tmp_path, f"product({{'{RATE}': ({rates})}})")
    sweep.run(prune=True)
    assert states(sweep.folder) == {"finished": 6, "pruned": 1}
    (pruned,) = (trial for trial in trials(sweep.folder) if trial["state"] == "pruned")
    assert pruned["overrides"] == {RATE: 0.1}
    assert "its accuracy 0.1 is worse than the median of its group" in pruned["reason"]
    assert "interrupted" in (sweep.folder / "trials" / pruned["name"] / "output.txt").read_text()


@pytest.mark.slow
def test_a_run_that_is_killed_each_time_is_given_up(tmp_path):
    sweep = SmallSweep(tmp_path, f"product({{'{RATE}': (0.777, 0.1)}})")
    sweep.run()
    assert states(sweep.folder) == {"finished": 1, "failed": 1}
    (failed,) = (trial for trial in trials(sweep.folder) if trial["state"] == "failed")
    assert failed["reason"] == "it was killed 3 times; is there enough memory?"
    assert failed["attempts"] == 3


@pytest.mark.slow
def test_ctrl_c_stops_all_and_the_same_command_goes_on(tmp_path):
    sweep = SmallSweep(tmp_path, SIX)
    process = sweep.start()
    wait_for(lambda: len(in_progress(sweep.folder, '"step": 3,')) == 2, lives(process))
    holders = in_progress(sweep.folder, '"step": 3,')
    process.send_signal(signal.SIGINT)
    code, _, errors = finish(process)
    assert code == 130
    assert re.fullmatch(
        r".*: stopped with 0 of 6 runs finished, the others saved; go on with: python .*\n", errors
    )
    for holder in holders:
        for pid in (holder["worker"], holder["run"]):
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
    assert states(sweep.folder) == {"waiting": 6}
    stopped = [text for text in outputs(sweep.folder) if text]
    assert len(stopped) == 2
    assert all(text.endswith("train.py: interrupted\n") for text in stopped)
    sweep.hold.unlink()
    sweep.run()
    assert states(sweep.folder) == {"finished": 6}
    went_on = [text for text in outputs(sweep.folder) if "interrupted" in text]
    assert len(went_on) == 2
    assert all(re.search(r"interrupted\nfrom step 3", text) for text in went_on)


@pytest.mark.slow
def test_a_worker_killed_twice_loses_no_trial(tmp_path):
    """Once with its run and once alone; soak/soak_sweep.py has runs of train.py."""
    sweep = SmallSweep(tmp_path, f"product({{'{RATE}': (0.1, 0.2)}})")
    sweep.run_while(lambda goes_on: kill_a_worker_twice(goes_on, sweep.folder, '"step": 3,'))
    assert_none_lost_and_none_twice(sweep.folder, 2)
    went_on = [text for text in outputs(sweep.folder) if "from step 3" in text]
    assert len(went_on) == 1


def test_nothing_that_a_sweep_writes_holds_a_password(tmp_path, monkeypatch):
    """Told by the flag as two words, which is the form that is split in two."""
    sweep = SmallSweep(tmp_path, f"product({{'{RATE}': (0.1,)}})")
    monkeypatch.setattr(WorkerHere, "look", lambda self: False)
    with carried_out(["sweep.py", "--storage", "postgresql://me:sesame@host/x"]):
        sweep.run()
    assert read_json(sweep.folder / "sweep.json")["command"].endswith("postgresql://me:***@host/x'")
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or b"sesame" not in file.read_bytes(), file


def test_slurm_without_submitit_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"slurm=gpu needs submitit; pip install 'seqmodels\[slurm"):
        require_slurm("gpu")


class FakeJob:
    job_id = "7"

    def __init__(self, result: int):
        self._result, self.cancelled = result, False

    def done(self) -> bool:
        return self._result >= 0

    def result(self) -> int:
        return self._result

    def exception(self) -> None:
        return None

    def stderr(self) -> str:
        return "warning\nworkdir=x can't be written\n"

    def cancel(self) -> None:
        self.cancelled = True


def test_slurm_jobs_are_submitted_watched_and_cancelled(tmp_path, monkeypatch):
    submitted, parameters = [], {}
    monkeypatch.setenv("PYTHONPATH", "elsewhere")

    class Executor:
        def __init__(self, folder, cluster):
            assert cluster == "local"

        def update_parameters(self, **given):
            parameters.update(given)

        def submit(self, function, orders):
            assert pickle.loads(pickle.dumps(orders)) == orders
            assert os.environ["PYTHONPATH"] == f"{ROOT}:elsewhere"
            submitted.append(FakeJob(-1))
            return submitted[-1]

    monkeypatch.setitem(sys.modules, "submitit", type(sys)("submitit"))
    monkeypatch.setattr(sys.modules["submitit"], "AutoExecutor", Executor, raising=False)
    orders = Orders(
        folder=tmp_path,
        config="",
        groups=[Group({}, [], [])],
        search="grid",
        trials=None,
        prune=False,
        score="accuracy",
        higher_is_better=True,
        train=tmp_path,
        devices=None,
        sharing=1,
        cores=None,
        parent=None,
    )
    crew = SlurmJobs(orders, 2, "gpu", cluster="local")
    crew.start()
    assert len(submitted) == 2
    assert os.environ["PYTHONPATH"] == "elsewhere"
    assert crew.look()
    submitted[0]._result = 0
    assert crew.look()
    crew.stop()
    assert [job.cancelled for job in submitted] == [False, True]
    submitted[1]._result = 2
    with pytest.raises(UserError, match="job 7 has failed: workdir=x can't be written"):
        crew.look()
    submitted[1]._result = 0
    assert not crew.look()


def test_a_trial_is_held_by_one(tmp_path):
    trial = Trial(tmp_path, "a")
    with trial.locked() as first, trial.locked() as second:
        assert first is not None
        assert second is None
    with trial.locked() as third:
        assert third is not None


@pytest.mark.parametrize("who", ["sweep", "idle worker"])
def test_looking_at_many_runs_leaves_the_cores_to_them(monkeypatch, who):
    """A look that takes 0.2 s follows another after 10, and one that takes nothing after 1."""

    def looks_in_two_minutes(seconds):
        now, looks = [0.0], []

        def wait(for_seconds):
            now[0] += for_seconds

        def look(*_):
            looks.append(now[0])
            wait(seconds)

        clock = SimpleNamespace(monotonic=lambda: now[0], process_time=lambda: now[0], sleep=wait)
        for module in ("pace", "run", "worker"):
            monkeypatch.setattr(f"seqmodels.sweeps.{module}.time", clock)
        if who == "sweep":
            sweep: Any = SimpleNamespace(interruption=SimpleNamespace(signal=None), _names=list)
            crew, display = Mock(spec=LocalWorkers), Mock(spec=SweepDisplay)
            crew.look.side_effect = lambda: now[0] < 120
            display.update.side_effect = lambda _: bool(look())
            _Sweep._watch(sweep, crew, display)
        else:
            storage = SimpleNamespace(take=look, is_done=lambda: False)
            worker: Any = SimpleNamespace(
                storage=storage, _stopping=lambda: now[0] >= 120, stop=None
            )
            Worker.work(worker)
        return len(looks)

    assert looks_in_two_minutes(0.2) in (11, 12)
    assert looks_in_two_minutes(0.0) == 120
