"""Where a run's events go besides ``metrics.jsonl``; each of them may fail, and the run goes on.

A new one is a class that follows :class:`Logger`, made of a :class:`LoggedRun`, and a line in
:data:`LOGGERS`. Its package is imported when it is asked for: ``pip install 'seqmodels[NAME]'``.
"""

import importlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import batched
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from seqmodels.errors import UserError, nearest

PROJECT = "seqmodels"
"""What runs are filed under, where the package's own environment variable names nothing else."""
AT_ONCE = 100
"""Settings that MLflow takes in one request."""


class Logger(Protocol):
    """Takes the events of one process of a run, in order; any method may raise.

    Of a run that goes on it gets the events from there on, and before them those that came earlier
    where it ``begins`` the run. Some of what it gets it may have had already, by a process that was
    killed: the same values at the same steps.
    """

    begins: bool
    """Whether it knows nothing of the run yet."""
    called: str | None
    """What it calls the run, by which a later process goes on with it; None where it needs none."""

    def add(self, event: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


class LoggedRun(NamedTuple):
    """What a logger is told of a run."""

    folder: Path
    config: Mapping[str, Any]
    """Its leaves by dotted path."""
    called: str | None
    """What the logger called it, where it has begun it before."""


Begin = Callable[[float], Logger]
"""Begins to log, or goes on; given the seconds that the run has taken so far."""


def values_of(event: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an event by split and name.

    >>> values_of({"step": 5, "split": "train", "seconds": 1.2, "loss": 0.5})
    {'train/loss': 0.5}
    """
    return {
        f"{event['split']}/{name}": value
        for name, value in event.items()
        if name not in ("step", "split", "seconds") and isinstance(value, int | float)
    }


class WeightsAndBiases:
    """A run on wandb.ai, or on what WANDB_BASE_URL names; WANDB_MODE=offline keeps it here."""

    def __init__(self, run: LoggedRun, seconds: float):
        del seconds
        self.begins = run.called is None
        # The run's own output stays its own.
        self._run = _package("wandb").init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.folder.name,
            id=run.called,
            resume="allow",
            dir=str(run.folder),
            config=dict(run.config),
            settings={"console": "off"},
        )
        self.called: str | None = self._run.id

    def add(self, event: Mapping[str, Any]) -> None:
        if values := values_of(event):
            self._run.log(values, step=event["step"])

    def close(self) -> None:
        self._run.finish()


class Trackio:
    """A run in trackio's files on this machine, which ``trackio show`` opens."""

    def __init__(self, run: LoggedRun, seconds: float):
        del seconds
        self.begins = run.called is None
        self.called: str | None = run.called or f"{run.folder.name}-{secrets.token_hex(4)}"
        self._run = _package("trackio").init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=self.called,
            config=dict(run.config),
            resume="allow",
        )

    def add(self, event: Mapping[str, Any]) -> None:
        if values := values_of(event):
            self._run.log(values, step=event["step"])

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """A run where MLFLOW_TRACKING_URI says, or in MLflow's own database here."""

    def __init__(self, run: LoggedRun, seconds: float):
        del seconds
        self.begins = run.called is None
        self._mlflow = _package("mlflow")
        if not {"MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"} & os.environ.keys():
            self._mlflow.set_experiment(PROJECT)
        begun = self._mlflow.start_run(run_id=run.called, run_name=run.folder.name)
        self.called: str | None = begun.info.run_id
        if self.begins:
            for some in batched(run.config.items(), AT_ONCE):
                self._mlflow.log_params(dict(some))

    def add(self, event: Mapping[str, Any]) -> None:
        if values := values_of(event):
            self._mlflow.log_metrics(values, step=event["step"])

    def close(self) -> None:
        self._mlflow.end_run()


LOGGERS: dict[str, Callable[[LoggedRun, float], Logger]] = {
    "wandb": WeightsAndBiases,
    "trackio": Trackio,
    "mlflow": MLflow,
}


def require_loggers(names: Iterable[str]) -> None:
    """Raises UserError at a name that no logger has."""
    for name in names:
        if name not in LOGGERS:
            raise UserError(f"log={name} is not known; {nearest(name, LOGGERS)}")


def begins_of(
    names: Iterable[str], folder: Path, config: Mapping[str, Any], called: Mapping[str, str]
) -> dict[str, Begin]:
    """What begins each logger of a run; ``called`` is by their names what they call it by now."""
    return {
        name: partial(LOGGERS[name], LoggedRun(folder, config, called.get(name))) for name in names
    }


@contextmanager
def kept_running() -> Iterator[None]:
    """A package that would end the process in this ``with`` statement has failed instead."""
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"it would end the run, with {error.code}") from None


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ImportError(f"it is not installed: pip install 'seqmodels[{name}]'") from None
