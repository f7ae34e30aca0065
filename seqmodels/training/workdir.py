"""A run's folder: config, environment, metrics, checkpoints, a picture, results.

``results.json`` is written last and atomically: its presence means that the run has
finished. Nothing else than this folder is needed to evaluate, resume or report.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from seqmodels.config import Section, differing_keys, to_dict
from seqmodels.config_files import DECIDED
from seqmodels.errors import ConfigError, UserError
from seqmodels.json_files import UnreadableError, read_json, write_json
from seqmodels.locks import UNKNOWN, HeldError, held
from seqmodels.paths import local_path
from seqmodels.training.environment import starts, with_start
from seqmodels.training.experiment import HOW
from seqmodels.training.processes import is_first, largest, warn
from seqmodels.training.resolving import located, resolved
from seqmodels.training.run_files import SCHEMAS, read_run_file

READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)

LEFT = ("checkpoints", "results.json", "facts.json", "metrics.jsonl")
"""Of a run's folder what says that one began there, if its config.json is gone."""

MATHEMATICS = 3
"""Raised with each change of what a run computes from the same config (CHANGELOG.md); a folder that
states none is of 1."""


class Workdir:
    """The folder of one run.

    Raises:
      UserError: it holds another config's run, can't be written, or has a name that can't be.
    """

    def __init__(self, path: str | Path):
        require_utf8(path)
        self.path = local_path(path, "workdir=")
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.jsonl"
        self.is_older = False
        """Whether the run that is opened was last continued under other mathematics."""
        self.is_continued = False
        """Whether the run that is opened lay here before."""

    def held(self) -> contextlib.AbstractContextManager[None]:
        """As :func:`held_folder`; refused too where something else lies there."""
        return held_folder(self.path, self._foreign)

    def _foreign(self) -> str | None:
        """Why no run may begin in a folder without a config, and what to do; None where one may.

        Files may lie there already, such as a log, but no folders: ``.``, or that of other runs.
        """
        if (self.path / "config.json").exists():
            return None
        lost = next((name for name in LEFT if (self.path / name).exists()), None)
        if lost is not None:
            why = f"holds {lost} of a run, and no config.json that says of which; put back a copy"
            return f"{why} of it, or choose another folder"
        found = (path for path in sorted(self.path.glob("[!.]*")) if path.is_dir())
        folder = next(found, None)
        return folder and f"holds other things and no run, such as {folder}; choose another folder"

    def open_for(self, config: Section, decided: Mapping[str, Any] | None = None) -> None:
        """Makes the folder for a config's run, or checks that it holds that very run.

        Args:
          config: what is to run; a new folder has it with every key.
          decided: what the run decides by itself as it begins; a folder with another stays as it
            is.
        """
        stored = self.read("config.json")
        self.is_continued = stored is not None
        plain = to_dict(self._resolved(config, stored))
        if stored is not None:
            differing = differing_keys(
                without_how(to_dict(self._resolved(stored, stored))), without_how(plain)
            )
            if differing:
                raise UserError(
                    f"workdir={self.path} holds a run of another config: "
                    f"{'; '.join(differing)}. Choose another folder, or the same config"
                )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if stored is None:
                self.write("config.json", {**plain, DECIDED: dict(decided or {})})
            if self.results() is None:
                self.is_older = stored is not None and self._mathematics() < MATHEMATICS
                if is_first():
                    before = self.read("environment.json") or {}
                    self.write("environment.json", with_start(before, MATHEMATICS))
        except OSError as error:
            raise UserError(
                f"workdir={self.path} can't be written ({error.strerror}); choose another folder"
            ) from None

    def note_forms(self, forms: Mapping[str, list[str]]) -> None:
        """Adds the forms that operations have taken to what the run decides by itself."""
        known = self._decided().get("forms", {})
        self._decide(
            "forms",
            {name: [*dict.fromkeys([*known.get(name, []), *new])] for name, new in forms.items()},
        )

    def note_logged(self, called: Mapping[str, str]) -> None:
        """Adds what loggers call the run."""
        self._decide("logged", called)

    def _decided(self) -> dict[str, Any]:
        stored = self.read("config.json")
        assert stored is not None
        return stored.get(DECIDED, {})

    def _decide(self, name: str, more: Mapping[str, Any]) -> None:
        decided = self._decided()
        known = decided.get(name, {})
        if known != known | more:
            stored = self.read("config.json") or {}
            self.write("config.json", stored | {DECIDED: decided | {name: known | more}})

    def _mathematics(self) -> int:
        found = starts(self.read("environment.json") or {})
        return found[-1].get("mathematics", 1) if found else MATHEMATICS

    def require_there(self) -> None:
        """Raises UserError where the folder has gone: the next write would make half of another."""
        if not (self.path / "config.json").exists():
            raise UserError(
                f"workdir={self.path} has been moved or deleted while its run went on; the same "
                "command with the folder that it is now continues"
            )

    def config(self) -> ConfigDict:
        """The config of the run that lies here.

        Raises:
          UserError: no run lies here.
        """
        stored = self.read("config.json")
        if stored is None:
            raise UserError(f"workdir={self.path} holds no run (no config.json); train first")
        return self._resolved(stored, stored)

    def located(self, config: Section) -> ConfigDict:
        """The config of this run as its task is built: what it read is read where it lay then."""
        stored = self.read("config.json")
        return located(self._resolved(config, stored), stored, self.facts())

    def facts(self) -> dict[str, Any] | None:
        """What the run noted of its task and data; None where it didn't."""
        return self.read("facts.json")

    def _resolved(self, config: Section, stored: Section | None) -> ConfigDict:
        try:
            return resolved(config, stored)
        except ConfigError as error:
            raise UserError(f"{self.path / 'config.json'} holds no config: {error}") from None

    def results(self) -> dict[str, Any] | None:
        """The results of a finished run; None while it is unfinished."""
        return self.read("results.json")

    def scored(self, score: str) -> dict[str, Any] | None:
        """The results of a finished run, with a score of each split; None while it is unfinished.

        Raises:
          UserError: the score is missing.
        """
        results = self.results()
        if results is None:
            return None
        for split in ("validation", "test"):
            if score not in results[split]:
                raise UserError(
                    f"{self.path}/results.json has no {score} of {split}; put back a copy of it, "
                    "or delete it to go on"
                )
        return results

    def read(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the folder; None where there is none.

        Raises:
          UserError: it is no JSON, holds something else, or can't be read.
        """
        try:
            if name in SCHEMAS:
                return read_run_file(self.path, name)
            return read_json(self.path / name, dict[str, Any])
        except UnreadableError as error:
            advice = "choose another folder" if name == "config.json" else "delete it to go on"
            raise UnreadableError(f"{error}; put back a copy of it, or {advice}") from None

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Writes a JSON file wholly or not at all; of several processes the first does."""
        if is_first():
            write_json(self.path / name, content)


def without_how(plain: dict[str, Any]) -> dict[str, Any]:
    """A config without what changes nothing of what its run computes."""
    train = {key: value for key, value in plain["train"].items() if key not in HOW}
    return {key: value for key, value in plain.items() if key != "mesh"} | {"train": train}


@contextlib.contextmanager
def held_folder(folder: Path, foreign: Callable[[], str | None] = lambda: None) -> Iterator[None]:
    """Makes a folder, in which nobody else works during this ``with`` statement.

    Whatever ends the process lets go of the folder. Those who only read need not ask. ``foreign``
    says what else is wrong with it.

    Raises:
      UserError: somebody works there, or it can't be written; in each process of a run.
    """
    refusal = None
    with contextlib.ExitStack() as stack:
        try:
            if is_first():
                folder.mkdir(parents=True, exist_ok=True)
                refusal = foreign()
                stack.enter_context(held(folder / ".lock"))
        except HeldError as error:
            refusal = f"is in use by {error}; wait, stop it, or choose another folder"
        except OSError as error:
            if error.errno in UNKNOWN:
                warn(f"{folder} can't be locked; see that nobody else works there")
            elif error.errno not in READ_ONLY:  # where a finished run can still be read
                refusal = f"can't be written ({error.strerror}); choose another folder"
        if largest(refusal is not None):
            raise UserError(f"workdir={folder} {refusal or 'was refused to the first process'}")
        yield


def require_utf8(path: str | Path, name: str = "workdir") -> None:
    """Refuses what lies below a name of bytes that are not UTF-8, which libraries can't take.

    >>> require_utf8("runs/caf\\udce9")
    Traceback (most recent call last):
    seqmodels.errors.UserError: workdir='runs/caf\\udce9' has a name that is not in UTF-8, or \
that the locale can't tell (LC_ALL=C.UTF-8 can); rename it, or choose another
    """
    try:
        os.fspath(Path(path).absolute()).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{name}={os.fspath(path)!r} has a name that is not in UTF-8, or that the locale can't "
            "tell (LC_ALL=C.UTF-8 can); rename it, or choose another"
        ) from None
