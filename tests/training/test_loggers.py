"""Loggers beside metrics.jsonl: what they are told, and that none ends or loses a run.

Their packages are stood in for by modules whose functions take what the real ones take
(tests/goldens/logger_signatures.json, which make_logger_signatures.py made); tests/soak has the
real ones.
"""

import inspect
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from seqmodels.errors import UserError
from seqmodels.training.loggers import LOGGERS, PROJECT, begins_of, require_loggers
from seqmodels.training.metrics import MetricWriter, read_events
from tests.command_line import ROOT

GOLDEN = json.loads((ROOT / "tests/goldens/logger_signatures.json").read_text())
CONFIG = {"train.steps": 10, "model.pattern": ("gru",), **{f"key{n}": n for n in range(120)}}


class Package:
    """In place of a package: its functions, bound to the real signatures, note their calls."""

    def __init__(self, name: str):
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.fails_at: str | None = None
        self.error: BaseException = RuntimeError("no route to host")
        self.module: Any = ModuleType(name)
        methods = {}
        for function, parameters in GOLDEN[name].items():
            owner, _, method = function.rpartition(".")
            call = self._call(function, parameters)
            if owner:
                methods[method] = call
            else:
                setattr(self.module, function, call)
        self.run = SimpleNamespace(id="r1", info=SimpleNamespace(run_id="r1"), **methods)

    def _call(self, function: str, parameters: list[list[Any]]) -> Any:
        made = [
            inspect.Parameter(
                name,
                getattr(inspect.Parameter, kind),
                default=None if optional else inspect.Parameter.empty,
            )
            for name, kind, optional in parameters
        ]
        signature = inspect.Signature(made)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((function, signature.bind(*args, **kwargs).arguments))
            if function == self.fails_at:
                raise self.error
            return self.run

        return call

    def named(self, function: str) -> list[dict[str, Any]]:
        return [arguments for name, arguments in self.calls if name == function]


BEGIN = {"wandb": "init", "trackio": "init", "mlflow": "start_run"}
ADD = {"wandb": "Run.log", "trackio": "Run.log", "mlflow": "log_metrics"}
CLOSE = {"wandb": "Run.finish", "trackio": "Run.finish", "mlflow": "end_run"}


@pytest.fixture
def package(monkeypatch):
    def stand_in(name: str) -> Package:
        made = Package(name)
        monkeypatch.setitem(sys.modules, name, made.module)
        return made

    for variable in ("WANDB_PROJECT", "TRACKIO_PROJECT", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(variable, raising=False)
    return stand_in


def write(folder: Path, name: str, start: int, *steps: int, called=None, said=None) -> MetricWriter:
    """What a process writes that starts at a step, with a logger."""
    begins = begins_of([name], folder, CONFIG, {name: called} if called else {})
    tell = pytest.fail if said is None else said.append
    writer = MetricWriter(folder / "metrics.jsonl", start, warn=tell, begins=begins)
    for step in steps:
        writer.write(step, "train", {"loss": step / 10})
    writer.close()
    return writer


def seen(of: Package, name: str) -> list[tuple[int, dict[str, float]]]:
    values = {"wandb": "data", "trackio": "metrics", "mlflow": "metrics"}[name]
    return [(call["step"], call[values]) for call in of.named(ADD[name])]


@pytest.mark.parametrize("name", LOGGERS)
def test_a_logger_gets_the_config_and_every_event(name, package, tmp_path):
    of = package(name)
    writer = write(tmp_path, name, 0, 5, 10)
    assert writer.called == {name: of.named("init")[0]["name"] if name == "trackio" else "r1"}
    assert seen(of, name) == [(5, {"train/loss": 0.5}), (10, {"train/loss": 1.0})]
    assert of.calls[-1][0] == CLOSE[name]
    if name == "mlflow":
        assert of.named("set_experiment") == [{"experiment_name": PROJECT}]
        told = [call["params"] for call in of.named("log_params")]
        assert [len(some) for some in told] == [100, 22]
        assert {k: v for some in told for k, v in some.items()} == CONFIG
    else:
        (begun,) = of.named("init")
        assert (begun["project"], begun["config"]) == (PROJECT, CONFIG)
        assert begun["resume"] == "allow"


@pytest.mark.parametrize("name", LOGGERS)
def test_a_run_that_goes_on_is_the_same_run_there(name, package, tmp_path):
    """It gets what comes next; one that begins late gets what came before too."""
    of = package(name)
    write(tmp_path, name, 0, 5)
    write(tmp_path, name, 5, 10, called="r1")
    assert [step for step, _ in seen(of, name)] == [5, 10]
    again = of.named(BEGIN[name])[1]
    assert again[{"wandb": "id", "trackio": "name", "mlflow": "run_id"}[name]] == "r1"
    assert len(of.named("log_params")) == (2 if name == "mlflow" else 0), "once, in two parts"
    late = package(name)
    write(tmp_path, name, 10, 15)
    assert [step for step, _ in seen(late, name)] == [5, 10, 15]


@pytest.mark.parametrize("name", LOGGERS)
@pytest.mark.parametrize("error", [RuntimeError("no route to host"), SystemExit(1)])
@pytest.mark.parametrize("when", [BEGIN, ADD, CLOSE])
def test_one_that_fails_is_said_once_and_left_out(name, error, when, package, tmp_path):
    of, said = package(name), []
    of.fails_at, of.error = when[name], error
    write(tmp_path, name, 0, 5, 10, said=said)
    assert [event["step"] for event in read_events(tmp_path / "metrics.jsonl")] == [5, 10]
    why = "no route to host" if str(error) != "1" else "it would end the run, with 1"
    assert said == [f"{name} gets no more events (RuntimeError: {why})"]
    assert (
        len(of.named(ADD[name]))
        == {"begin": 0, "add": 1, "close": 2}[
            {id(BEGIN): "begin", id(ADD): "add", id(CLOSE): "close"}[id(when)]
        ]
    )


@pytest.mark.parametrize("name", LOGGERS)
def test_one_that_is_missing_is_said(name, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, name, None)
    said = []
    write(tmp_path, name, 0, 5, said=said)
    install = f"it is not installed: pip install 'seqmodels[{name}]'"
    assert said == [f"{name} gets no more events (ImportError: {install})"]
    assert [event["step"] for event in read_events(tmp_path / "metrics.jsonl")] == [5]


def test_one_that_there_is_not_is_refused():
    message = r"^log=wandby is not known; did you mean 'wandb'\? \(known: mlflow, trackio, wandb\)$"
    with pytest.raises(UserError, match=message):
        require_loggers(["trackio", "wandby"])
