"""The studies of a sweep: runs are entered, given up with their worker, and entered again."""

import contextlib
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from seqmodels.json_files import UnreadableError, parse_json
from seqmodels.sweeps.groups import Group, Run, setting_text
from seqmodels.sweeps.storage import GRACE, PatientStorage
from seqmodels.sweeps.trials import DIVERGED, Point, Trial, run_of

LIVE = (TrialState.WAITING, TrialState.RUNNING)
_TOLD_ALREADY = optuna.exceptions.UpdateFinishedTrialError


class Studies:
    """The studies of a sweep, one a group: search and pruning compare within a group alone.

    Args:
      storage: where they lie.
      groups: the group of each study, by the study's name.
      search: "grid", "random" or "tpe".
      higher_is_better: which way a validation score is better.
      prune: whether :meth:`optuna.Trial.should_prune` ever says so.
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
            for name in groups
        ]

    def group(self, study: optuna.Study) -> Group:
        """The group that a study is of."""
        return self.groups[study.study_name]

    def settings(self, study: optuna.Study, but: int | None = None) -> set[str]:
        """The texts of the settings that runs of a study have, but for one trial's."""
        trials = study.get_trials(deepcopy=False)
        runs = [run_of_trial(trial) for trial in trials if trial.number != but]
        group = self.group(study)
        return {setting_text(group.values_of(run)) for run in runs if run is not None}

    def register(
        self, study: optuna.Study, runs: Iterable[Run], folder: Path, again: bool, score: str
    ) -> tuple[int, list[str]]:
        """Enters the runs that nobody has finished, has before them or has given up.

        Args:
          study: the runs' group.
          runs: its runs.
          folder: the sweep's folder.
          again: whether those that failed otherwise than by diverging are tried again.
          score: the metric of a finished run that the study is told.

        Returns:
          How many were entered to be run, and what was wrong with files, a line each.
        """
        trials = study.get_trials(deepcopy=False)
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
                    study.add_trial(
                        optuna.create_trial(value=value, user_attrs=run_attributes(run))
                    )
            elif run.name in waiting:
                stored = trial.read()
                if stored is not None and stored["state"] != "running":
                    trial.set_state("waiting")
            elif run.name not in live | given_up:
                trial.enter()
                study.add_trial(
                    optuna.create_trial(state=TrialState.WAITING, user_attrs=run_attributes(run))
                )
                entered += 1
        return entered, wrong

    def repeat(self, study: optuna.Study, trial: optuna.Trial, run: Run) -> None:
        """Enters the runs of a proposed setting with the other seeds, but those that there are."""
        trials = study.get_trials(deepcopy=False)
        known = {_name(other) for other in trials}
        frozen = trials[trial.number]
        for other in self.group(study).beside(run):
            if other.name not in known:
                study.add_trial(
                    optuna.create_trial(
                        state=TrialState.WAITING,
                        params=frozen.params,
                        distributions=frozen.distributions,
                        user_attrs=run_attributes(other),
                    )
                )

    def revive(self, study: optuna.Study) -> None:
        """Gives up for dead the workers that give no sign of life; their runs are entered again."""
        if self.storage.has_been_away():
            return
        stale = set(self.storage._get_stale_trial_ids(study._study_id))
        now = time.monotonic()
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            # A worker that died before its first sign of life is known by not having begun.
            since = self._unheard.setdefault(trial._trial_id, now)
            unheard = now - since > GRACE * self.storage.heartbeat
            if trial._trial_id in stale or (unheard and "begun" not in trial.user_attrs):
                # Where another worker has done the same, that one enters it.
                with contextlib.suppress(ValueError, _TOLD_ALREADY):
                    study.tell(trial.number, state=TrialState.FAIL)
                    enter_again(study, trial)


def tell(
    study: optuna.Study, trial: optuna.Trial, state: TrialState, value: float | None = None
) -> None:
    """Tells a study how a trial ended; one that was given up for dead stays so."""
    with contextlib.suppress(_TOLD_ALREADY):
        study.tell(trial, value, state, skip_if_finished=True)


def enter_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Enters a trial's run again, as it was proposed."""
    ended = ("begun", "exit_code")
    attributes = {key: value for key, value in trial.user_attrs.items() if key not in ended}
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=attributes,
        )
    )


def run_attributes(run: Run) -> dict[str, Any]:
    """What a trial carries of its run: one attribute, so that there is all of it or nothing."""
    return {"run": json.dumps(run._asdict())}


def run_of_trial(trial: FrozenTrial) -> Run | None:
    """The run of a trial; None where none has been proposed yet."""
    text = trial.user_attrs.get("run")
    name = f"trial {trial.number} of the storage"
    return None if text is None else run_of(parse_json(text, Point, name))


def _name(trial: FrozenTrial) -> str | None:
    run = run_of_trial(trial)
    return None if run is None else run.name


def _is_final(trial: FrozenTrial, again: bool) -> bool:
    code = trial.user_attrs.get("exit_code")
    return code is not None and (not again or code == DIVERGED)
