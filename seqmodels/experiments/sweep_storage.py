"""A sweep's trials in Optuna: a storage that waits for a lost one, and a study a group.

The folders are the truth of what has finished. The storage deals the runs out to workers, here
and on other machines, notices by heartbeats when one has died, and remembers what a search has
tried. It can be lost without losing a run.
"""

import contextlib
import functools
import inspect
import json
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy.engine
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from seqmodels.errors import UserError
from seqmodels.experiments.groups import Run
from seqmodels.experiments.trials import DIVERGED, Trial

PATIENCE_SECONDS = 60.0
"""For so long a storage that doesn't answer is asked again."""
FIRST_SECONDS = 10.0
"""The same, where it has never answered: its URL may be wrong."""
GRACE = 3
"""Heartbeats missed until a worker counts as dead."""
_LIVE = (TrialState.WAITING, TrialState.RUNNING)


class StorageLostError(UserError):
    """The storage has not answered for too long. Exit code 4."""

    exit_code = 4


class PatientStorage(RDBStorage):
    """Optuna's relational storage, which asks again, ever less often, where it gets no answer.

    Asking again is harmless even if the first question was answered and the answer lost: a run
    that is entered twice is found finished the second time.

    Args:
      url: of SQLAlchemy, such as ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST/NAME``.
      heartbeat: seconds between two signs of life of a worker.
      patience: seconds for which to ask again.

    Raises:
      UserError: a URL that names no storage, or one whose driver is not installed.
      StorageLostError: no answer; also from every method.
    """

    def __init__(self, url: str, heartbeat: int, patience: float = PATIENCE_SECONDS):
        self._shown = shown_url(url)
        self.heartbeat = heartbeat
        self._asking = threading.local()
        self.lost: StorageLostError | None = None
        self._patience = min(patience, FIRST_SECONDS)
        waits = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            create = functools.partial(
                super().__init__,
                url.replace("postgresql://", "postgresql+psycopg://", 1),
                engine_kwargs={"pool_pre_ping": True, **waits},
                heartbeat_interval=heartbeat,
                grace_period=GRACE * heartbeat,
                heartbeat_stale_trial_callback=functools.partial(enter_again, died=True),
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self.ask(create)
        except ImportError as error:
            raise UserError(
                f"--storage={self._shown} needs a driver that is not installed ({error}); for "
                "PostgreSQL: pip install 'seqmodels[postgresql]'"
            ) from None
        self._patience = patience

    def ask[T](self, question: Callable[[], T]) -> T:
        """The answer to a question, asked again for as long as patience lasts."""
        if getattr(self._asking, "now", False):  # part of a greater question
            return question()
        self._asking.now = True
        begun, wait = time.monotonic(), 0.05
        try:
            while True:
                try:
                    return question()
                except (ArgumentError, NoSuchModuleError) as error:
                    why = f"can't be used: {_line(error)}"
                    raise UserError(f"--storage={self._shown} {why}") from None
                except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
                    if time.monotonic() - begun + wait > self._patience:
                        self.lost = self._give_up(error)
                        raise self.lost from None
                time.sleep(wait)
                wait = min(2 * wait, 5.0)
        finally:
            self._asking.now = False

    def close(self) -> None:
        """Lets go of the connections."""
        self.scoped_session.remove()
        self.engine.dispose()

    def record_heartbeat(self, trial_id: int) -> None:
        """A sign of life. It is given in a thread: where the storage is lost, ``lost`` says so."""
        with contextlib.suppress(StorageLostError):
            self.ask(lambda: RDBStorage.record_heartbeat(self, trial_id))

    def _give_up(self, error: Exception) -> StorageLostError:
        cause = error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else error
        return StorageLostError(
            f"--storage={self._shown} has not answered for {self._patience:.0f} s "
            f"({_line(cause)}); no run is lost: start the same command when it is back"
        )


def _patiently[T](method: Callable[..., T]) -> Callable[..., T]:
    @functools.wraps(method)
    def call(self: PatientStorage, *arguments: Any, **named: Any) -> T:
        return self.ask(lambda: method(self, *arguments, **named))

    return call


for _name, _method in vars(RDBStorage).items():
    if inspect.isfunction(_method) and not _name.startswith("__") and _name != "record_heartbeat":
        setattr(PatientStorage, _name, _patiently(_method))


def shown_url(url: str) -> str:
    """A storage's URL without its password."""
    try:
        return sqlalchemy.engine.make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return url


def _line(error: BaseException) -> str:
    original = getattr(error, "orig", None) or error
    return (str(original).splitlines() or [type(original).__name__])[0]


class Studies:
    """The studies of a sweep, one a group: search and pruning compare within a group alone.

    Args:
      storage: where they lie.
      names: a name a group.
      search: "grid", "random" or "tpe".
      higher_is_better: which way a validation score is better.
      prune: whether :meth:`optuna.Trial.should_prune` ever says so.
    """

    def __init__(
        self,
        storage: PatientStorage,
        names: Iterable[str],
        search: str,
        higher_is_better: bool,
        prune: bool,
    ):
        self.storage = storage
        self._unheard: dict[int, float] = {}
        self.all = [
            optuna.create_study(
                storage=storage,
                study_name=name,
                load_if_exists=True,
                direction="maximize" if higher_is_better else "minimize",
                sampler=(
                    optuna.samplers.TPESampler()
                    if search == "tpe"
                    else optuna.samplers.RandomSampler()
                ),
                pruner=optuna.pruners.MedianPruner() if prune else optuna.pruners.NopPruner(),
            )
            for name in names
        ]

    def register(
        self, study: optuna.Study, runs: Iterable[Run], folder: Path, again: bool, score: str
    ) -> int:
        """Enters the runs that nobody has finished, has before them or has given up.

        Args:
          study: the runs' group.
          runs: its runs.
          folder: the sweep's folder.
          again: whether those that failed otherwise than by diverging are tried again.
          score: the metric of a finished run that the study is told.

        Returns:
          How many were entered to be run.
        """
        trials = study.get_trials(deepcopy=False)
        live = {t.user_attrs.get("name") for t in trials if t.state in _LIVE}
        told = {t.user_attrs.get("name") for t in trials if t.state == TrialState.COMPLETE}
        given_up = {
            t.user_attrs.get("name")
            for t in trials
            if t.state == TrialState.PRUNED or (t.state == TrialState.FAIL and _is_final(t, again))
        }
        entered = 0
        for run in runs:
            trial = Trial(folder, run.name)
            results = trial.results()
            trial.prepare(run)
            attributes = run_attributes(run)
            if results is not None:
                trial.set_state("finished")
                if run.name not in told | live:
                    study.add_trial(
                        optuna.create_trial(
                            value=results["validation"][score], user_attrs=attributes
                        )
                    )
            elif run.name not in live | given_up:
                trial.set_state("waiting")
                study.add_trial(
                    optuna.create_trial(state=TrialState.WAITING, user_attrs=attributes)
                )
                entered += 1
        return entered

    def revive(self, study: optuna.Study) -> None:
        """Enters again the runs of workers that have died."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(study)
        # Optuna passes over a worker that died before its first heartbeat.
        now = time.monotonic()
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            begun = "begun" in trial.user_attrs
            since = self._unheard.setdefault(trial._trial_id, now)
            if not begun and now - since > GRACE * self.storage.heartbeat:
                with contextlib.suppress(ValueError, optuna.exceptions.UpdateFinishedTrialError):
                    study.tell(trial.number, state=TrialState.FAIL)
                    enter_again(study, trial, died=True)


def enter_again(study: optuna.Study, trial: FrozenTrial, died: bool = False) -> None:
    """Enters a trial's run again, as it was proposed; deaths of its workers are counted."""
    deaths = trial.user_attrs.get("deaths", 0) + died
    attributes = {key: value for key, value in trial.user_attrs.items() if key != "begun"}
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs={**attributes, "deaths": deaths},
        )
    )


def run_attributes(run: Run) -> dict[str, Any]:
    """What a trial carries of its run."""
    return {"name": run.name, "run": json.dumps(run._asdict())}


def _is_final(trial: FrozenTrial, again: bool) -> bool:
    code = trial.user_attrs.get("exit_code")
    return code is not None and (not again or code == DIVERGED)
