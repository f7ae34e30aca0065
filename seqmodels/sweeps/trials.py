"""A trial's folder: a run's, with what the sweep knows of it in ``trial.json``."""

import contextlib
import fcntl
import json
import math
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import psutil
from msgspec import Meta

from seqmodels.errors import UserError
from seqmodels.json_files import UnreadableError, read_json, write_json
from seqmodels.sweeps.groups import Run
from seqmodels.training.run_files import read_event_lines, read_run_file

State = Literal["waiting", "running", "finished", "failed", "pruned"]
DIVERGED = 3
"""The exit code of a run whose loss stopped being finite."""

Name = Annotated[str, Meta(pattern=r"\A[^/.\0][^/\0]{0,254}\Z")]
"""Of a folder, and of nothing above or below one."""
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
Process = Annotated[int, Meta(gt=1, lt=2**31)]
"""Of a process, and not of many of them."""


class SizeFile(TypedDict):
    """What a model takes."""

    parameters: Count
    flops: float
    state_bytes: Count


class PointFile(TypedDict):
    """A run as files know it."""

    name: Name
    arguments: dict[str, Any]
    overrides: dict[str, Any]
    size: SizeFile


class TrialFile(PointFile):
    """``trial.json``: a run, and how far it is."""

    state: State
    reason: str | None
    """Why it failed, or was stopped."""
    attempts: Count
    """How often it was begun."""
    seconds: Seconds | None
    kills: NotRequired[Count]
    """How often a signal ended it, and its worker saw that."""
    deaths: NotRequired[Count]
    """How often it ended with its worker."""


class Holder(TypedDict):
    """``lock``: who holds the folder, in text; empty until the run has begun."""

    machine: str
    worker: Process
    run: Process


class Trial:
    """The folder ``trials/NAME`` of a sweep."""

    def __init__(self, sweep: Path, name: str):
        self.folder = sweep / "trials" / name
        self.name = name

    def read(self) -> TrialFile | None:
        """The content of ``trial.json``; None where there is none.

        Raises:
          UnreadableError: it holds something else, or another trial.
        """
        file = self.folder / "trial.json"
        found = read_json(file, TrialFile)
        if found is not None and found["name"] != self.name:
            raise UnreadableError(f"{file} is of another trial, {found['name']!r}")
        return found

    def results(self, score: str) -> dict[str, Any] | None:
        """The results of the run; None while it is unfinished.

        Raises:
          UnreadableError: they hold something else, or lack the score.
        """
        found = read_run_file(self.folder, "results.json")
        if found is None:
            return None
        for split in ("validation", "test"):
            value = found[split].get(score)
            if value is None or not math.isfinite(value):
                file = self.folder / "results.json"
                raise UnreadableError(f"{file} has {value} as its {score} of {split}")
        return found

    def prepare(self, run: Run) -> UnreadableError | None:
        """Makes the folder, its trial waiting; of one that is there all stays but the run's size.

        Returns what was wrong with a ``trial.json`` that is written anew.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        stored, wrong = None, None
        try:
            stored = self.read()
        except UnreadableError as error:
            wrong = error
        fresh = {"state": "waiting", "reason": None, "attempts": 0, "seconds": None}
        self._write(stored, {**fresh, **(stored or {}), **run._asdict()})
        return wrong

    def set_state(
        self, state: State, reason: str | None = None, seconds: float | None = None
    ) -> None:
        self._change(state=state, reason=reason, seconds=seconds)

    def enter(self) -> None:
        """Makes it wait, as if it had never been killed."""
        self._change(state="waiting", reason=None, seconds=None, kills=0, deaths=0)

    def begin(self) -> None:
        """Makes it run; an attempt is counted."""
        stored = self.read()
        attempts = 1 + (stored["attempts"] if stored else 0)
        self._change(state="running", reason=None, seconds=None, attempts=attempts)

    def count(self, what: Literal["kills", "deaths"]) -> int:
        """Makes it wait after an end that was none of its own; how many such there have been."""
        stored = self.read()
        number = 1 + ((stored or {}).get(what) or 0)
        self._change(state="waiting", **{what: number})
        return number

    def _change(self, **changed: Any) -> None:
        stored = self.read()
        if stored is not None:
            self._write(stored, {**stored, **changed})

    def _write(self, stored: TrialFile | None, content: dict[str, Any]) -> None:
        if json.dumps(content, sort_keys=True) != json.dumps(stored, sort_keys=True):
            write_json(self.folder / "trial.json", content)

    @contextmanager
    def locked(self) -> Iterator[int | None]:
        """Holds the folder; gives the lock's descriptor, or None where another holds it.

        A run that is started with the descriptor holds the folder too, for as long as it lives:
        when its worker is killed nobody begins beside it.
        """
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            yield descriptor
        finally:
            os.close(descriptor)

    def note_processes(self, run: int | None) -> None:
        """Writes into the lock who holds it; None before there is a run, and so nobody to stop."""
        holder = {"machine": socket.gethostname(), "worker": os.getpid(), "run": run}
        # Not by another file in its place, which nobody would hold.
        (self.folder / "lock").write_text("" if run is None else json.dumps(holder))

    def validations(self, score: str) -> list[tuple[int, float]]:
        """The steps of the run's validations so far, each with its score."""
        found = []
        with contextlib.suppress(UnreadableError):  # of the whole file: the run itself says so
            for _, event in read_event_lines(self.folder):
                if isinstance(event, dict) and event["split"] == "validation":
                    value = event.get(score)
                    if event["step"] < 2**31 and isinstance(value, int | float):
                        found.append((event["step"], float(value)))
        return found

    def last_line(self) -> str:
        """What the run said last, without the name of the script."""
        lines = (self.folder / "output.txt").read_text("utf-8", errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        return last.strip().partition("train.py: ")[2] or last.strip()

    def orphan(self) -> int | None:
        """The process of a run on this machine whose worker has been killed; None without one."""
        try:
            holder = read_json(self.folder / "lock", Holder)
        except UnreadableError:  # it was killed before it could say who it is
            return None
        if (
            holder is None
            or holder["machine"] != socket.gethostname()
            or psutil.pid_exists(holder["worker"])
        ):
            return None
        with self.locked() as descriptor:
            return holder["run"] if descriptor is None else None


def run_of(point: Any) -> Run:
    """The run that a file tells of."""
    return Run(point["name"], point["arguments"], point["overrides"], point["size"])


@contextmanager
def folder_lock(sweep: Path) -> Iterator[None]:
    """Waits for, and holds, what a sweep's folder has but one of: its list of points."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context((sweep / ".lock").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise UserError(
                f"workdir={sweep} can't be written, or has no locks ({error.strerror}); choose "
                "another folder"
            ) from None
        yield
