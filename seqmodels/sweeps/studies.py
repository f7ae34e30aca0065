"""The studies of a sweep: runs are entered, given up with their worker, and entered again."""

import contextlib
import json
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from seqmodels.json_files import UnreadableError, parse_json
from seqmodels.sweeps.groups import Group, Run, setting_text
from seqmodels.sweeps.storage import GRACE, PatientStorage
from seqmodels.sweeps.trials import DIVERGED, PointFile, Trial, run_of

LIVE = (TrialState.WAITING, TrialState.RUNNING)
_TOLD_ALREADY = optuna.exceptions.UpdateFinishedTrialError


class Studies:
    """The studies of a sweep, one a group: search and pruning compare within a group alone.

    The groups are given by the names of their studies.
    """

    def __init__(
        self,
        storage: PatientStorage,
        groups: dict[str, Group],
        search: str,
        higher_is_better: bool,
        prune: bool,
    ):
        self.storage = storage
        self.groups = groups
        self._unheard: dict[int, float] = {}
        sampler = optuna.samplers.TPESampler if search == "tpe" else optuna.samplers.RandomSampler
        pruner = optuna.pruners.MedianPruner if prune else optuna.pruners.NopPruner
        direction = "maximize" if higher_is_better else "minimize"

        def create(name: str) -> optuna.Study:
            return optuna.create_study(
                storage=storage.database,
                study_name=name,
                load_if_exists=True,
                direction=direction,
                sampler=sampler(),
                pruner=pruner(),
            )

        self.all = [storage.ask(partial(create, name)) for name in groups]

    def group(self, study: optuna.Study) -> Group:
        return self.groups[study.study_name]

    def trials(self, study: optuna.Study, *states: TrialState) -> list[FrozenTrial]:
        return self.storage.ask(lambda: study.get_trials(deepcopy=False, states=states or None))

    def note(self, trial: optuna.Trial, attributes: dict[str, Any]) -> None:
        for key, value in attributes.items():
            self.storage.ask(partial(trial.set_user_attr, key, value))

    def tell(
        self,
        study: optuna.Study,
        trial: optuna.Trial,
        state: TrialState,
        value: float | None = None,
    ) -> None:
        """Tells a study how a trial ended; one that was given up for dead stays so."""
        with contextlib.suppress(_TOLD_ALREADY):
            self.storage.ask(lambda: study.tell(trial, value, state, skip_if_finished=True))

    def enter_again(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Enters a trial's run again, as it was proposed."""
        ended = ("begun", "exit_code")
        attributes = {key: value for key, value in trial.user_attrs.items() if key not in ended}
        self._enter(study, attributes, trial)

    def _enter(
        self, study: optuna.Study, attributes: dict[str, Any], like: FrozenTrial | None = None
    ) -> None:
        """Enters a trial to be run, with the parameters of another."""
        waiting = optuna.create_trial(
            state=TrialState.WAITING,
            params=like and like.params,
            distributions=like and like.distributions,
            user_attrs=attributes,
        )
        self.storage.ask(lambda: study.add_trial(waiting))

    def settings(self, study: optuna.Study, but: int | None = None) -> set[str]:
        """The texts of the settings that runs of a study have, but for one trial's."""
        trials = self.trials(study)
        runs = [run_of_trial(trial) for trial in trials if trial.number != but]
        group = self.group(study)
        return {setting_text(group.values_of(run)) for run in runs if run is not None}

    def register(
        self, study: optuna.Study, runs: Iterable[Run], folder: Path, again: bool, score: str
    ) -> tuple[int, list[str]]:
        """Enters the runs that nobody has finished, has before them or has given up.

        With ``again`` those that failed otherwise than by diverging are tried again. Returns how
        many were entered to be run, and what was wrong with files, a line each.
        """
        trials = self.trials(study)
        names = {trial.number: _name(trial) for trial in trials}
        live = {names[t.number] for t in trials if t.state in LIVE}
        waiting = {names[t.number] for t in trials if t.state == TrialState.WAITING}
        told = {names[t.number] for t in trials if t.state == TrialState.COMPLETE}
        given_up = {
            names[t.number]
            for t in trials
            if t.state == TrialState.PRUNED or (t.state == TrialState.FAIL and _is_final(t, again))
        }
        entered, wrong = 0, []
        for run in runs:
            trial = Trial(folder, run.name)
            if (error := trial.prepare(run)) is not None:
                wrong.append(f"{error}; it is written anew")
            try:
                results = trial.results(score)
            except UnreadableError as error:
                wrong.append(str(error))
                trial.set_state("failed", f"{error}; put back a copy of it, or delete it to go on")
                continue
            if results is not None:
                trial.set_state("finished", seconds=results["seconds"])
                if run.name not in told | live:
                    value = results["validation"][score]
                    told_so = optuna.create_trial(value=value, user_attrs=run_attributes(run))
                    self.storage.ask(partial(study.add_trial, told_so))
            elif run.name in waiting:
                stored = trial.read()
                if stored is not None and stored["state"] != "running":
                    trial.set_state("waiting")
            elif run.name not in live | given_up:
                trial.enter()
                self._enter(study, run_attributes(run))
                entered += 1
        return entered, wrong

    def repeat(self, study: optuna.Study, trial: optuna.Trial, run: Run) -> None:
        """Enters the runs of a proposed setting with the other seeds, but those that there are."""
        trials = self.trials(study)
        known = {_name(other) for other in trials}
        frozen = trials[trial.number]
        for other in self.group(study).beside(run):
            if other.name not in known:
                self._enter(study, run_attributes(other), frozen)

    def revive(self, study: optuna.Study) -> None:
        """Gives up for dead the workers that give no sign of life; their runs are entered again."""
        if self.storage.has_been_away():
            return
        asked = partial(self.storage.database._get_stale_trial_ids, study._study_id)
        stale = set(self.storage.ask(asked))
        now = time.monotonic()
        for trial in self.trials(study, TrialState.RUNNING):
            # A worker that died before its first sign of life is known by not having begun.
            since = self._unheard.setdefault(trial._trial_id, now)
            unheard = now - since > GRACE * self.storage.heartbeat
            if trial._trial_id in stale or (unheard and "begun" not in trial.user_attrs):
                # Where another worker has done the same, that one enters it.
                with contextlib.suppress(ValueError, _TOLD_ALREADY):
                    self.storage.ask(partial(study.tell, trial.number, state=TrialState.FAIL))
                    self.enter_again(study, trial)


def run_attributes(run: Run) -> dict[str, Any]:
    """What a trial carries of its run: one attribute, so that there is all of it or nothing."""
    return {"run": json.dumps(run._asdict())}


def run_of_trial(trial: FrozenTrial) -> Run | None:
    """The run of a trial; None where none has been proposed yet."""
    text = trial.user_attrs.get("run")
    name = f"trial {trial.number} of the storage"
    return None if text is None else run_of(parse_json(text, PointFile, name))


def _name(trial: FrozenTrial) -> str | None:
    run = run_of_trial(trial)
    return None if run is None else run.name


def _is_final(trial: FrozenTrial, again: bool) -> bool:
    code = trial.user_attrs.get("exit_code")
    return code is not None and (not again or code == DIVERGED)
