"""The groups of a sweep, built as they will be run: a mistake shows before any run."""

import itertools
import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from seqmodels.config import flatten, load_config, override, to_dict
from seqmodels.errors import ConfigError, UserError
from seqmodels.sweeps.groups import Group, Setting, argument_text, override_texts
from seqmodels.sweeps.matching import (
    WIDTH,
    Match,
    Met,
    Size,
    UnmatchedError,
    match_width,
    measure,
)
from seqmodels.sweeps.points import Between, Point, split
from seqmodels.sweeps.stages import Number, values_beyond
from seqmodels.sweeps.state_matching import match_both
from seqmodels.training.experiment import Experiment, build_experiment
from seqmodels.training.optimizer import make_optimizer
from seqmodels.training.resolving import resolved, settable


class _Built(NamedTuple):
    """What is known of a config when it has been built."""

    size: dict[str, Any]
    matched: dict[str, Any]
    """What is set so that it matches; empty without a match."""
    steps: int


class GroupBuilder:
    """Builds the settings of a group, whole as they are run; what they share is built once."""

    def __init__(
        self,
        file: str,
        arguments: dict[str, Any],
        common: dict[str, str],
        match: Match | None,
        width: int | None,
        met: Sequence[Met],
    ):
        self._spec = f"{file}:{argument_text(arguments)}"
        self._arguments = arguments
        self._common = common
        self._match = match
        self._width = width
        self._met = met
        self._built: dict[str, _Built] = {}
        self._matches: dict[str, dict[str, Any]] = {}
        self._sizes: dict[str, Size] = {}
        self.scores: set[tuple[str, bool]] = set()
        self.models: list[tuple[Experiment, ConfigDict]] = []
        """Those that are matched."""
        self.unmatched: list[UnmatchedError] = []
        """What is wrong with those of them that have no width for the target."""

    def group(self, points: list[Point], has_own_seeds: bool) -> Group:
        """The group of some points; each seed is built with the first setting.

        Args:
          has_own_seeds: whether a setting has the seeds of its own points, else those of all: what
            chooses among settings repeats any of them.
        """
        values: list[dict[str, Any]] = []
        seeds: list[list[int | None]] = []
        every: list[int | None] = []
        for point in points:
            own = {k: v for k, v in split(point)[1].items() if k not in self._common}
            seed = own.pop("seed", None)
            if own not in values:
                values.append(own)
                seeds.append([])
            for known in (every, seeds[values.index(own)]):
                if seed not in known:
                    known.append(seed)
        settings = [
            self._setting(own, {})._replace(seeds=tuple(known if has_own_seeds else every))
            for own, known in zip(values, seeds, strict=True)
        ]
        for seed in every:
            if seed is not None:
                self._setting(values[0], {"seed": seed})
        return Group(self._arguments, settings)

    def in_stages(self, group: Group) -> Group:
        """The group with its settings in the order of the key that is tuned, and what may follow
        beyond its ends, as far as the config allows it.
        """
        if len(group.settings) == 1:
            return group
        settings = [setting.values for setting in group.settings]
        keys = dict.fromkeys(key for values in settings for key in values)
        tuned = [key for key in keys if any(v.get(key) != settings[0].get(key) for v in settings)]
        numbers = [values.get(tuned[0]) for values in settings]
        if len(tuned) > 1 or any(type(number) not in (int, float) for number in numbers):
            sets = f"{' and '.join(tuned)} to {len(settings)} settings"
            if len(tuned) == 1:
                sets = f"{tuned[0]} to {', '.join(map(repr, numbers))}"
            raise ConfigError(
                f"{self._spec.removesuffix(':')}: stages tune one key, by numbers, and sweep() "
                f"sets {sets}; take search=grid"
            )
        (key,) = tuned
        in_order = sorted(group.settings, key=lambda setting: setting.values[key])
        ends = values_beyond([setting.values[key] for setting in in_order])
        below, above = (self._allowed(in_order[0], key, values) for values in ends)
        return group._replace(settings=in_order, below=below, above=above)

    def _allowed(self, known: Setting, key: str, values: list[Number]) -> tuple[Setting, ...]:
        """A setting with some values of a key, up to the first that the config refuses."""
        found = []
        for value in values:
            unmatched = len(self.unmatched)
            try:
                setting = self._setting(known.values | {key: value}, {})
            except UserError:
                break
            if len(self.unmatched) > unmatched:
                del self.unmatched[unmatched:]
                break
            found.append(setting._replace(seeds=known.seeds))
        return tuple(found)

    def _setting(self, values: dict[str, Any], seed: dict[str, Any]) -> Setting:
        """Builds a setting; of ranges each end with each of the others, as they may be drawn."""
        shown = argument_text(values | seed)
        name = f"{self._spec} with {shown}" if shown else self._spec
        if self._match is not None and (WIDTH in values or WIDTH in self._common):
            raise ConfigError(f"{name}: match=SIZE chooses {WIDTH}; don't set it")
        ranges = {key: value for key, value in values.items() if isinstance(value, Between)}
        fixed: dict[str, Any] = {}
        sizes = []
        try:
            self._require_fractions(ranges)
            for ends in itertools.product(*ranges.values()):
                drawn = values | dict(zip(ranges, ends, strict=True)) | seed
                config = self._config(drawn)
                built = self._build(config, name)
                sizes.append(built.size)
                fixed = {key: v for key, v in flatten(config).items() if key in self._common}
                if twice := sorted(built.matched.keys() & {*values, *self._common}):
                    raise ConfigError(f"match=SIZE chooses {twice[0]}; don't set it")
                fixed |= built.matched
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from None
        if any(size != sizes[0] for size in sizes):
            raise ConfigError(
                f"{name}: the size of the model depends on {' or '.join(ranges)}, which is a range "
                "here; list its values"
            )
        return Setting(values, fixed, sizes[0])

    def _config(self, values: dict[str, Any]) -> ConfigDict:
        config, _ = load_config(self._spec, override_texts(values), settable)
        for key, text in self._common.items():
            override(config, key, text, settable)
        return config

    def _require_fractions(self, ranges: dict[str, Between]) -> None:
        """Refuses a range of what takes whole numbers alone: others are drawn from it."""
        if ranges:
            now = flatten(resolved(load_config(self._spec).config))
            for key, (low, high) in ranges.items():
                if type(now.get(key)) is int:
                    middle = math.sqrt(low * high)
                    raise ConfigError(
                        f"{key} takes whole numbers (now {now[key]}), and a range draws others, "
                        f"such as {middle:.4g}; list its values: ({low:.0f}, {high:.0f})"
                    )

    def _build(self, config: ConfigDict, name: str) -> _Built:
        """Builds a config and measures its model; one that knows another optimizer, that alone."""
        rest = {key: value for key, value in to_dict(config).items() if key != "optimizer"}
        key = json.dumps(rest, sort_keys=True)
        if key in self._built:
            steps = self._built[key].steps
            optimizer: Any = config.optimizer
            make_optimizer(optimizer, steps, {})
            return self._built[key]
        experiment = build_experiment(config)
        matched: dict[str, Any] = {}
        # What is of one size whatever its seed is matched and measured once.
        unseeded = json.dumps({k: v for k, v in rest.items() if k != "seed"}, sort_keys=True)
        if self._match is not None:
            if unseeded not in self._matches:
                self.models.append((experiment, config))
                self._matches[unseeded] = self._matched(experiment, config, name)
            matched = self._matches[unseeded]
            for changed, value in matched.items():
                override(config, changed, str(value), settable)
            experiment = build_experiment(config) if matched else experiment
        spec, steps = experiment.task.spec, experiment.train.steps
        self.scores.add((spec.score, spec.higher_is_better))
        if unseeded not in self._sizes:
            self._sizes[unseeded] = measure(experiment)
        self._built[key] = _Built(self._sizes[unseeded]._asdict(), matched, steps)
        return self._built[key]

    def _matched(self, experiment: Experiment, config: ConfigDict, name: str) -> dict[str, Any]:
        """What brings a model to the match; where nothing does, what is wrong is kept for later."""
        assert self._match is not None
        if self._width is not None:
            return {WIDTH: self._width}
        for earlier in self._met:
            if earlier.holds(experiment, config):
                return earlier.settings
        try:
            if self._match.state is not None:
                return match_both(experiment, config, self._match, name)
            return {WIDTH: match_width(experiment, config, self._match, name)}
        except UnmatchedError as error:
            self.unmatched.append(error)
            return {}
