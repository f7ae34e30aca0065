"""The runs of a sweep, and the groups of them that are compared."""

import hashlib
import json
from typing import Any, NamedTuple

from seqmodels.experiments.points import Between

Overrides = list[tuple[str, str]]


class Run(NamedTuple):
    """One run of a sweep."""

    name: str
    """A hash of the arguments and overrides."""
    arguments: dict[str, Any]
    """Of ``get_config``."""
    overrides: dict[str, Any]
    """Keys of the config, by dotted path."""
    size: dict[str, Any]
    """Parameters, FLOPs and bytes of state of its model."""


class Group(NamedTuple):
    """What is compared with the other groups: one choice of arguments."""

    arguments: dict[str, Any]
    settings: list[dict[str, Any]]
    """What is tuned, without seeds; a value may be a Between."""
    seeds: list[int | None]
    """What each setting is repeated over; None leaves the config's."""
    size: dict[str, Any]
    """Of the first setting's model."""
    fixed: dict[str, Any]
    """What every run of it sets besides: overrides of the command line, and a matched width."""

    @property
    def text(self) -> str:
        """The arguments as a config takes them: ``mixer=lstm,length=64``."""
        return argument_text(self.arguments)

    def runs(self, setting: dict[str, Any]) -> list[Run]:
        """A setting's runs, one a seed."""
        seeds = [{} if seed is None else {"seed": seed} for seed in self.seeds]
        return [
            make_run(self.arguments, {**setting, **seed, **self.fixed}, self.size) for seed in seeds
        ]


def settings_to_try(group: Group, trials: int) -> int:
    """How many settings a search of so many tries: not more than a group without ranges has."""
    ranges = any(isinstance(v, Between) for setting in group.settings for v in setting.values())
    return trials if ranges else min(trials, len(group.settings))


def argument_text(arguments: dict[str, Any]) -> str:
    """The argument of ``get_config``.

    >>> argument_text({"mixer": "lstm", "length": 64})
    'mixer=lstm,length=64'
    """
    return ",".join(f"{name}={value}" for name, value in arguments.items())


def make_run(arguments: dict[str, Any], overrides: dict[str, Any], size: dict[str, Any]) -> Run:
    """A run, named by a hash of its arguments and overrides."""
    canonical = json.dumps([arguments, overrides], sort_keys=True)
    name = hashlib.sha256(canonical.encode()).hexdigest()[:12]
    return Run(name, arguments, overrides, size)


def override_texts(overrides: dict[str, Any]) -> Overrides:
    """Overrides as the command line takes them."""
    return [
        (key, str(tuple(value) if isinstance(value, list) else value))
        for key, value in overrides.items()
    ]
