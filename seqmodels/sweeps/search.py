"""A search proposes settings: Optuna draws the next one by what the others have scored.

It is told of them as they stand in the folders each time that it is asked, and keeps nothing.
"""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from seqmodels.sweeps.groups import Group, Run, setting_text
from seqmodels.sweeps.points import Between

SETTING = "setting"
"""The choice among the settings that a group lists; keys of configs have a dot in them."""


class Tried(NamedTuple):
    """A run of a setting that has been proposed, and how it went."""

    run: Run
    value: float | None
    """Its score; None unless it has finished."""
    pruned: dict[int, float]
    """Its validations by step, where it was pruned."""


def propose(group: Group, tried: Sequence[Tried], search: str, higher_is_better: bool) -> Run:
    """The run of a setting that has not been tried, with the first seed.

    Args:
      group: it has a setting left, or draws from a range.
      tried: the runs of the settings before.
      search: "tpe" (Bergstra et al. 2011, NeurIPS) or "random".
      higher_is_better: of the score.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers = optuna.samplers
    settings = {setting_text(setting.values): setting for setting in group.settings}
    study = optuna.create_study(
        direction="maximize" if higher_is_better else "minimize",
        sampler=samplers.TPESampler() if search == "tpe" else samplers.RandomSampler(),
    )
    told = (_told(group, one) for one in tried)
    study.add_trials([trial for trial in told if trial is not None])
    taken = {setting_text(group.values_of(one.run)) for one in tried}
    while True:
        trial = study.ask()
        setting = settings[trial.suggest_categorical(SETTING, sorted(settings))]
        values = {
            key: trial.suggest_float(key, value.low, value.high, log=True)
            if isinstance(value, Between)
            else value
            for key, value in setting.values.items()
        }
        if setting_text(values) not in taken:
            return group.runs(setting._replace(values=values))[0]
        study.enqueue_trial({SETTING: random.choice(sorted(settings.keys() - taken))})


def _told(group: Group, one: Tried) -> FrozenTrial | None:
    """A run as Optuna learns of it; None where there is nothing to learn, or no such setting any
    more.
    """
    values = group.values_of(one.run)
    setting = group.setting_of(values)
    if setting is None or (one.value is None and not one.pruned):
        return None
    params: dict[str, Any] = {SETTING: setting_text(setting.values)}
    choices = sorted(setting_text(other.values) for other in group.settings)
    distributions: dict[str, Any] = {SETTING: CategoricalDistribution(choices)}
    for key, value in setting.values.items():
        if isinstance(value, Between):
            params[key] = values[key]
            distributions[key] = FloatDistribution(value.low, value.high, log=True)
    return optuna.create_trial(
        state=TrialState.PRUNED if one.value is None else TrialState.COMPLETE,
        value=one.value,
        params=params,
        distributions=distributions,
        intermediate_values=one.pruned,
    )
