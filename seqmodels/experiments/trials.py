"""A trial's folder: a run's, with what the sweep knows of it in ``trial.json``."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from seqmodels.errors import UserError
from seqmodels.experiments.groups import Run

State = Literal["waiting", "running", "finished", "failed", "pruned"]
DIVERGED = 3
"""The exit code of a run whose loss stopped being finite."""


class Trial:
    """The folder ``trials/NAME`` of a sweep.

    Args:
      sweep: the sweep's folder.
      name: the run's.
    """

    def __init__(self, sweep: Path, name: str):
        self.folder = sweep / "trials" / name
        self.name = name

    def read(self) -> dict[str, Any] | None:
        """The content of ``trial.json``; None where there is none."""
        return read_json(self.folder / "trial.json")

    def results(self) -> dict[str, Any] | None:
        """The results of the run; None while it is unfinished."""
        return read_json(self.folder / "results.json")

    def prepare(self, run: Run) -> None:
        """Makes the folder, its trial waiting; one that is there stays as it is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.read() is None:
            fresh = {"state": "waiting", "reason": None, "attempts": 0, "seconds": None}
            write_json(self.folder / "trial.json", {**run._asdict(), **fresh})

    def set_state(self, state: State, reason: str | None = None, begins: bool = False) -> None:
        """Writes a state down; an attempt that begins is counted."""
        content = self.read() or {}
        seconds = (self.results() or {}).get("seconds") if state == "finished" else None
        changed = {"state": state, "reason": reason, "seconds": seconds}
        new = {**content, **changed, "attempts": content.get("attempts", 0) + begins}
        if new != content:
            write_json(self.folder / "trial.json", new)

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

    def note_processes(self, run: int) -> None:
        """Writes into the lock who holds it."""
        holder = {"machine": socket.gethostname(), "worker": os.getpid(), "run": run}
        (self.folder / "lock").write_text(json.dumps(holder))

    def validations(self, score: str) -> list[tuple[int, float]]:
        """The steps of the run's validations so far, each with its score."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.folder / "metrics.jsonl").read_text().splitlines(keepends=True)
            events = [json.loads(line) for line in lines if line.endswith("\n")]
            return [(e["step"], e[score]) for e in events if e["split"] == "validation"]
        return []

    def last_line(self) -> str:
        """What the run said last, without the name of the script."""
        lines = (self.folder / "output.txt").read_text(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        return last.strip().partition("train.py: ")[2] or last.strip()

    def orphan(self) -> int | None:
        """The process of a run on this machine whose worker has been killed; None without one."""
        try:
            holder = json.loads((self.folder / "lock").read_text())
        except (OSError, ValueError):
            return None
        with self.locked() as descriptor:
            lives = descriptor is None
        here = holder["machine"] == socket.gethostname()
        return holder["run"] if lives and here and not _runs(holder["worker"]) else None


@contextmanager
def folder_lock(sweep: Path) -> Iterator[None]:
    """Waits for, and holds, what a sweep's folder has but one of: its list of points."""
    with (sweep / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_json(file: Path) -> dict[str, Any] | None:
    """A JSON file; None where there is none.

    Raises:
      UserError: it is cut short or can't be read.
    """
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise UserError(f"{file} is not valid JSON ({error}); delete it to go on") from None
    except OSError as error:
        raise UserError(f"{file} can't be read: {error.strerror}") from None


def write_json(file: Path, content: Any) -> None:
    """Writes a JSON file wholly or not at all."""
    temporary = file.with_name(f".{file.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
        temporary.replace(file)
    except OSError as error:
        raise UserError(f"{file} can't be written ({error.strerror})") from None


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
