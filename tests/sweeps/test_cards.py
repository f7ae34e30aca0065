"""The cards of a machine that has none, dealt out to workers."""

import io
import pickle
import subprocess
from pathlib import Path

import pytest

from seqmodels.sweeps import cards, local_workers
from seqmodels.sweeps import run as sweep
from seqmodels.sweeps.cards import MEMORY, VISIBLE, share_of, visible_cards, worker_variables
from seqmodels.sweeps.local_workers import LocalWorkers
from tests.sweeps.bench import Bench, group


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Path:
    """One with four cards, and JAX's plugin for them."""
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidia3", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    monkeypatch.setattr(cards, "CUDA_PLUGINS", ("json",))
    return tmp_path


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, ["0", "1", "2", "3"]),
        ({VISIBLE: "2,3"}, ["2", "3"]),
        ({VISIBLE: "GPU-3f1b, MIG-77"}, ["GPU-3f1b", "MIG-77"]),
        ({VISIBLE: "1,-1,2"}, ["1"]),
        ({VISIBLE: ""}, []),
        ({VISIBLE: "NoDevFiles,"}, ["NoDevFiles"]),
        ({"JAX_PLATFORMS": "cpu"}, []),
        ({"JAX_PLATFORMS": "cuda,cpu", VISIBLE: "1"}, ["1"]),
    ],
)
def test_the_cards_are_those_that_are_visible(machine, environment, found):
    assert visible_cards(environment, str(machine)) == found


def test_there_are_none_without_files_or_the_plugin(machine, monkeypatch):
    assert visible_cards({VISIBLE: "0"}, str(machine / "dev")) == []
    monkeypatch.setattr(cards, "CUDA_PLUGINS", ("no_such_plugin",))
    assert visible_cards({}, str(machine)) == []


def test_each_worker_has_its_own_and_where_they_share_a_part_of_its_memory():
    four = ["0", "1", "2", "3"]
    assert [share_of(four, worker, 2) for worker in (0, 1)] == [["0", "1"], ["2", "3"]]
    assert [share_of(four, worker, 3) for worker in (0, 1, 2)] == [["0"], ["1"], ["2"]]
    assert worker_variables(four, 1, 2, {}) == {VISIBLE: "2,3"}
    assert worker_variables(four, 0, 1, {}) == worker_variables([], 1, 2, {}) == {}
    assert worker_variables(["5"], 1, 2, {}) == {VISIBLE: "5", MEMORY: "0.450"}
    assert worker_variables(["5"], 1, 2, {MEMORY: "0.2"}) == {VISIBLE: "5"}


def test_workers_are_started_with_them(tmp_path, monkeypatch):
    started = []

    class Process(subprocess.Popen):
        def __init__(self, command, env, **_):
            self.stdin = io.BytesIO()
            self.stdin.close = lambda: started.append((env.get(VISIBLE), self.stdin.getvalue()))

        def poll(self):
            return None

    monkeypatch.setattr(local_workers, "visible_cards", lambda: ["4", "5", "6", "7"])
    monkeypatch.setattr(local_workers.subprocess, "Popen", Process)
    LocalWorkers(Bench(tmp_path, group(0.1)).orders, 2).start()
    assert [visible for visible, _ in started] == ["4,5", "6,7"]
    assert all(pickle.loads(orders).cores for _, orders in started)


@pytest.mark.parametrize(("found", "platforms"), [(["0"], ["cpu"]), ([], [])])
def test_who_plans_leaves_them_to_the_workers(monkeypatch, found, platforms):
    told = []
    monkeypatch.setattr(cards, "visible_cards", lambda: found)
    monkeypatch.setattr(cards.jax.config, "update", lambda name, value: told.append((name, value)))
    cards.leave_cards()
    assert told == [("jax_platforms", platform) for platform in platforms]


@pytest.mark.parametrize(
    ("workers", "devices", "said"),
    [(1, None, ""), (2, 2, "1 is left"), (5, 1, ""), (7, 1, ""), (3, 1, "2 are left")],
)
def test_a_run_takes_the_devices_of_its_worker(monkeypatch, capsys, workers, devices, said):
    monkeypatch.setattr(sweep, "visible_cards", lambda: list("01234"))
    assert sweep._devices(sweep.SweepOptions(workers=workers)) == devices
    assert said in (err := capsys.readouterr().err)
    assert bool(err) == bool(said)
