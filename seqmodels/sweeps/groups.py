"""The runs of a sweep, and the groups of them that are compared."""

import hashlib
import json
import re
from typing import Any, NamedTuple

from seqmodels.sweeps.points import Between

Overrides = list[tuple[str, str]]
HASHED = 12
"""Letters of the hash in a run's name."""


class Run(NamedTuple):
    """One run of a sweep."""

    name: str
    """That of its folder, made of the arguments and overrides (:func:`make_run`)."""
    arguments: dict[str, Any]
    """Of ``get_config``."""
    overrides: dict[str, Any]
    """Keys of the config, by dotted path."""
    size: dict[str, Any]
    """Parameters, FLOPs and bytes of state of its model."""


class Setting(NamedTuple):
    """What is tuned of a group, and what follows from it."""

    values: dict[str, Any]
    """Keys of the config without the seed; a value may be a Between."""
    fixed: dict[str, Any]
    """What its runs set besides: overrides of the command line, and a matched width."""
    size: dict[str, Any]
    """Of its model."""
    seeds: tuple[int | None, ...] = (None,)
    """What it is repeated over; None leaves the config's."""


class Group(NamedTuple):
    """What is compared with the other groups: one choice of arguments."""

    arguments: dict[str, Any]
    settings: list[Setting]
    """All set the same keys besides their values."""
    below: tuple[Setting, ...] = ()
    """Of a sweep in stages what may follow below the first setting, nearest first."""
    above: tuple[Setting, ...] = ()
    """The same above the last setting."""
    bare_names: bool = False
    """Whether its runs are named by a hash alone, as in sweeps of earlier versions."""

    @property
    def text(self) -> str:
        """The arguments as a config takes them: ``mixer=lstm,length=64``."""
        return argument_text(self.arguments)

    @property
    def seeds(self) -> list[int | None]:
        """Those of all its settings."""
        seeds = [seed for setting in self.settings for seed in setting.seeds]
        return [seed for place, seed in enumerate(seeds) if seed not in seeds[:place]]

    def runs(self, setting: Setting) -> list[Run]:
        """A setting's runs, one a seed."""
        seeds = [{} if seed is None else {"seed": seed} for seed in setting.seeds]
        made = [
            make_run(self.arguments, {**setting.values, **seed, **setting.fixed}, setting.size)
            for seed in seeds
        ]
        return [bare(run) for run in made] if self.bare_names else made

    def every(self) -> list[Run]:
        """The runs of all settings that there may be."""
        settings = (*self.settings, *self.below, *self.above)
        return [run for setting in settings for run in self.runs(setting)]

    def beside(self, run: Run) -> list[Run]:
        """The runs of the setting that one of the group's is of; of the group's size for it."""
        values = self.values_of(run)
        fixed = {k: v for k, v in run.overrides.items() if k in self.settings[0].fixed}
        setting = self.setting_of(values) or Setting(values, fixed, run.size, tuple(self.seeds))
        return self.runs(setting._replace(values=values, fixed=fixed))

    def setting_of(self, values: dict[str, Any]) -> Setting | None:
        """The setting that values are of, or were drawn from; None where there is none."""
        return next((s for s in self.settings if _may_be(s.values, values)), None)

    def values_of(self, run: Run) -> dict[str, Any]:
        others = {"seed", *self.settings[0].fixed}
        return {key: value for key, value in run.overrides.items() if key not in others}

    def expected(self, search: str, trials: int | None) -> int:
        """How many runs a sweep of the group takes; in stages without any beyond its settings."""
        if search == "stages":
            return len(self.settings) + len(self.seeds) - 1
        if trials is None:
            return sum(len(setting.seeds) for setting in self.settings)
        return settings_to_try(self, trials) * len(self.seeds)


def _may_be(values: dict[str, Any], drawn: dict[str, Any]) -> bool:
    """Whether values, of which some are ranges, may have been drawn as some others."""

    def is_in(value: Any, other: Any) -> bool:
        if isinstance(value, Between):
            return isinstance(other, int | float) and value.low <= other <= value.high
        return json.dumps(value) == json.dumps(other)

    return values.keys() == drawn.keys() and all(is_in(values[k], drawn[k]) for k in drawn)


def setting_text(values: dict[str, Any]) -> str:
    """A text by which settings are told apart."""
    return json.dumps(values, sort_keys=True)


def settings_to_try(group: Group, trials: int) -> int:
    """How many settings a search of so many tries: not more than a group without ranges has."""
    ranges = any(isinstance(v, Between) for s in group.settings for v in s.values.values())
    return trials if ranges else min(trials, len(group.settings))


def argument_text(arguments: dict[str, Any]) -> str:
    """The argument of ``get_config``.

    >>> argument_text({"mixer": "lstm", "length": 64})
    'mixer=lstm,length=64'
    """
    return ",".join(f"{name}={value}" for name, value in arguments.items())


def make_run(arguments: dict[str, Any], overrides: dict[str, Any], size: dict[str, Any]) -> Run:
    """A run, named by its arguments and overrides, so far as there is room, and by their hash.

    >>> make_run({"mixer": "lstm"}, {"optimizer.learning_rate": 0.01, "seed": 1}, {}).name
    'mixer=lstm,learning_rate=0.01,seed=1-47ebd8bc77d1'
    """
    digest = text_digest(json.dumps([arguments, overrides], sort_keys=True))
    named = [f"{k.rsplit('.', 1)[-1]}={v}" for k, v in {**arguments, **overrides}.items()]
    words = re.sub(r"[^A-Za-z0-9.,=+-]+", "_", ",".join(named)).lstrip(".")[:80]
    return Run(f"{words}-{digest}" if words else digest, arguments, overrides, size)


def text_digest(*texts: str) -> str:
    """A few letters by which texts are told from others."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:HASHED]


def bare(run: Run) -> Run:
    """The same run, named by its hash alone."""
    return run._replace(name=run.name[-HASHED:])


def override_texts(overrides: dict[str, Any]) -> Overrides:
    """Overrides as the command line takes them."""
    return [
        (key, str(tuple(value) if isinstance(value, list) else value))
        for key, value in overrides.items()
    ]
