"""A sweep's trials in Optuna: a storage that waits for a lost one, and what a worker asks of it.

The folders are the truth of what has finished. The storage deals the runs out to workers, here
and on other machines, notices by heartbeats when one has died, and remembers what a search has
tried. It can be lost without losing a run.
"""

import contextlib
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy.engine
from optuna.storages import RDBStorage
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SAWarning, SQLAlchemyError

from seqmodels.errors import UserError
from seqmodels.secrets import HIDDEN, shown_url

PATIENCE_SECONDS = 60.0
"""For so long a storage that doesn't answer is asked again."""
FIRST_SECONDS = 10.0
"""The same, where it has never answered: its URL may be wrong."""
GRACE = 3
"""Heartbeats missed until a worker counts as dead."""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class StorageLostError(UserError):
    """The storage has not answered for too long. Exit code 4."""

    exit_code = 4


class _Database(RDBStorage):
    """Optuna's storage, which neither gives signs of life nor buries the dead by itself.

    It can't do it apart from a loop of its own, which fails where a trial has been given up.
    """

    def __init__(self, url: str, heartbeat: int, connect: dict[str, Any]):
        try:
            super().__init__(
                url.replace("{", "{{").replace("}", "}}"),  # it is filled in as a template
                engine_kwargs={"pool_pre_ping": True, "connect_args": connect},
                heartbeat_interval=heartbeat,
                grace_period=GRACE * heartbeat,
            )
        except BaseException:
            if "engine" in vars(self):
                self.engine.dispose()
            raise

    def get_heartbeat_interval(self) -> None:
        """None: Optuna would do both."""


class PatientStorage:
    """Optuna's relational storage: what is asked of it is asked again, ever less often, where it
    gives no answer.

    Asking again is harmless even if the first question was answered and the answer lost: a run
    that is entered twice is found finished the second time.

    Args:
      place: a file, for SQLite, or a URL of SQLAlchemy, such as
        ``postgresql://USER:PASSWORD@HOST/NAME``.
      heartbeat: seconds between two signs of life of a worker.
      patience: seconds for which to ask again.

    Raises:
      UserError: a URL that names no storage, or one whose driver is not installed.
      StorageLostError: no answer; also from every question.
    """

    def __init__(self, place: Path | str, heartbeat: int, patience: float = PATIENCE_SECONDS):
        url = _read_url(place)
        self._shown = shown_place(place)
        self._password = url.password
        self.heartbeat = heartbeat
        self._unanswered: float | None = None
        self.lost: StorageLostError | None = None
        self._patience = min(patience, FIRST_SECONDS)
        is_file = url.get_backend_name() == "sqlite"
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        text = url.render_as_string(hide_password=False)
        connect = {"timeout": 60} if is_file else {}
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.database = self._connect(lambda: _Database(text, heartbeat, connect))
        self._patience = patience

    def _connect(self, create: Callable[[], _Database]) -> _Database:
        try:
            with warnings.catch_warnings():
                for kind in (optuna.exceptions.ExperimentalWarning, SAWarning):
                    warnings.simplefilter("ignore", kind)
                return self.ask(create)
        except ImportError as error:
            raise UserError(
                f"--storage={self._shown} needs a driver that is not installed ({error}); for "
                "PostgreSQL: pip install 'seqmodels[postgresql]'"
            ) from None
        except (RuntimeError, TypeError) as error:  # another Optuna's tables; what no driver knows
            raise UserError(f"--storage={self._shown} can't be used: {self._line(error)}") from None

    def ask[T](self, question: Callable[[], T]) -> T:
        """The answer to a question, asked again for as long as patience lasts."""
        begun, wait = time.monotonic(), 0.05
        while True:
            try:
                return question()
            except (ArgumentError, NoSuchModuleError) as error:
                why = f"can't be used: {self._line(error)}"
                raise UserError(f"--storage={self._shown} {why}") from None
            except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
                now = self._unanswered = time.monotonic()
                said = self._line(error)
                if _is_damaged(error):
                    raise UserError(
                        f"--storage={self._shown} is damaged ({said}); delete the file to go "
                        "on: the folders know what has finished"
                    ) from None
                if now - begun + wait > self._patience:
                    self.lost = StorageLostError(
                        f"--storage={self._shown} has not answered for {self._patience:.0f} s "
                        f"({said}); no run is lost: start the same command when it is back"
                    )
                    raise self.lost from None
            time.sleep(wait)
            wait = min(2 * wait, 5.0)

    def has_been_away(self) -> bool:
        """Whether it left a question unanswered so lately that nobody could give signs of life."""
        since = self._unanswered
        return since is not None and time.monotonic() - since < GRACE * self.heartbeat

    def close(self) -> None:
        """Lets go of the connections."""
        self.database.remove_session()
        self.database.engine.dispose()

    @contextlib.contextmanager
    def signs_of_life(self, trial_id: int) -> Iterator[None]:
        """Gives them for a trial, in a thread; where the storage is lost, ``lost`` says so."""
        over = threading.Event()

        def give() -> None:
            with contextlib.suppress(StorageLostError):
                while True:
                    self.ask(lambda: self.database.record_heartbeat(trial_id))
                    if over.wait(self.heartbeat):
                        break
            self.database.remove_session()

        thread = threading.Thread(target=give)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _line(self, error: BaseException) -> str:
        """The first line of what an error says; passwords are left out."""
        original = _original(error)
        line = (str(original).splitlines() or [type(original).__name__])[0]
        return line.replace(self._password, HIDDEN) if self._password else line


def _original(error: BaseException) -> BaseException:
    """What the database's driver raised, where it is known."""
    cause = error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else error
    return getattr(cause, "orig", None) or cause


def _is_damaged(error: BaseException) -> bool:
    """Whether SQLite says that its file is none of its own, or broken."""
    code = getattr(_original(error), "sqlite_errorcode", 0)
    return code & 0xFF in _DAMAGED  # of an extended code the last byte is the kind


def shown_place(place: Path | str) -> str:
    """A storage as messages call it, without its password."""
    return f"sqlite:///{place}" if isinstance(place, Path) else shown_url(place)


def _read_url(place: Path | str) -> sqlalchemy.engine.URL:
    """The URL of a storage; of a file it is made of its path as it stands.

    Raises:
      UserError: it is none.
    """
    if isinstance(place, Path):
        return sqlalchemy.engine.URL.create("sqlite", database=str(place))
    try:
        return sqlalchemy.engine.make_url(place)
    except (SQLAlchemyError, ValueError):
        # Not what was found wrong, which may be a part of a password.
        raise UserError(
            f"--storage={shown_place(place)} is no URL of a database, such as "
            "postgresql://USER:PASSWORD@HOST/NAME, with %XX for what is special in a password"
        ) from None
