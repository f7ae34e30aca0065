"""A trial's folder: a run's, with what the sweep knows of it in ``trial.json``."""

import contextlib
import fcntl
import json
import math
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import psutil
from msgspec import Meta

from seqmodels.errors import DivergedError, UserError
from seqmodels.json_files import UnreadableError, read_json, write_json
from seqmodels.sweeps.groups import Run
from seqmodels.training.run_files import read_event_lines, read_run_file

State = Literal["waiting", "running", "finished", "failed", "pruned"]
ENDED: tuple[State, ...] = ("finished", "failed", "pruned")

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
    exit_code: NotRequired[Count | None]
    """Of the process that trains, where the run has failed."""
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

    def state(self) -> State:
        """How far the run is; one of which nothing can be read waits."""
        try:
            stored = self.read()
        except UnreadableError:  # it is said, and written anew, where the run is entered
            stored = None
        return "waiting" if stored is None else stored["state"]

    def outcome(self, score: str) -> tuple[dict[str, Any] | None, State]:
        """The results of the run, if it has finished, and its state; it has failed where its
        results hold something else.
        """
        try:
            results = self.results(score)
        except UnreadableError:
            return None, "failed"
        return results, self.state() if results is None else "finished"

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

    def enter(self, run: Run, score: str) -> list[str]:
        """Prepares the run at a start of the sweep; to be called by who holds the folder.

        What has finished is known by its results. What has failed waits again, as if it had never
        been killed, unless it diverged, which it would do again. Returns what was wrong with its
        files, a line each.
        """
        wrong = self.prepare(run)
        lines = [] if wrong is None else [f"{wrong}; it is written anew"]
        try:
            results = self.results(score)
        except UnreadableError as error:
            self.fail_of(error)
            return [*lines, str(error)]
        stored = self.read()
        assert stored is not None
        diverged = stored.get("exit_code") == DivergedError.exit_code
        if results is not None:
            self.set_state("finished", seconds=results["seconds"])
        elif stored["state"] == "finished" or (stored["state"] == "failed" and not diverged):
            self.set_state("waiting", exit_code=None, kills=0, deaths=0)
        return lines

    def set_state(
        self, state: State, reason: str | None = None, seconds: float | None = None, **more: Any
    ) -> None:
        self._change(state=state, reason=reason, seconds=seconds, **more)

    def fail_of(self, error: UnreadableError) -> None:
        """Makes it fail of a file that holds something else."""
        self.set_state("failed", f"{error}; put back a copy of it, or delete it to go on")

    def begin(self) -> None:
        """Makes it run; an attempt is counted."""
        stored = self.read()
        attempts = 1 + (stored["attempts"] if stored else 0)
        self.set_state("running", attempts=attempts)

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

    def take(self) -> int | None:
        """Holds the folder; gives the lock's descriptor, to be closed, or None where another holds
        it.

        A run that is started with the descriptor holds the folder too, for as long as it lives:
        when its worker is killed nobody begins beside it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return None
            raise
        return descriptor

    @contextmanager
    def locked(self) -> Iterator[int | None]:
        """As :meth:`take`, until the ``with`` statement ends."""
        descriptor = self.take()
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def note_processes(self, run: int | None) -> None:
        """Writes into the lock who holds it; None before there is a run, and so nobody to stop."""
        holder = {"machine": socket.gethostname(), "worker": os.getpid(), "run": run}
        # Not by another file in its place, which nobody would hold.
        (self.folder / "lock").write_text("" if run is None else json.dumps(holder))

    def validations(self, score: str) -> dict[int, float]:
        """The scores of the run's validations so far, by step."""
        found = {}
        with contextlib.suppress(UnreadableError):  # of the whole file: the run itself says so
            for _, event in read_event_lines(self.folder):
                if isinstance(event, dict) and event["split"] == "validation":
                    value = event.get(score)
                    if event["step"] < 2**31 and isinstance(value, int | float):
                        found[event["step"]] = float(value)
        return found

    def last_line(self) -> str:
        """What the run said last, without the name of the program."""
        lines = (self.folder / "output.txt").read_text("utf-8", errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        return re.sub(r"^.*?\b(?:train\.py|seqmodels train): ", "", last.strip())

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
