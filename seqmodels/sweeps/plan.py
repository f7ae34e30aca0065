"""The plan of a sweep: every run that it takes, checked, sized and named."""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from seqmodels.config import (
    flatten,
    load_config,
    load_sweep,
    override,
    read_values,
    to_dict,
)
from seqmodels.errors import ConfigError, UserError, nearest
from seqmodels.sweeps.groups import Group, Overrides, Run, Setting, argument_text, override_texts
from seqmodels.sweeps.matching import (
    WIDTH,
    Match,
    Met,
    Size,
    UnmatchedError,
    common_targets,
    match_width,
    measure,
)
from seqmodels.sweeps.points import Between, Point, Staged, require_points, split
from seqmodels.sweeps.stages import Number, values_beyond
from seqmodels.sweeps.state_matching import match_both
from seqmodels.training.experiment import Experiment, build_experiment
from seqmodels.training.optimizer import make_optimizer
from seqmodels.training.resolving import resolved, settable

SECONDS = "train.seconds"


class Plan(NamedTuple):
    """A sweep: what to run, and by what it is judged."""

    config: str
    groups: list[Group]
    runs: list[Run]
    """Those that are known in advance; of a search none, in stages those of the first."""
    score: str
    higher_is_better: bool
    match: Match | None
    search: str
    trials: int | None
    """Of a search: how many settings of each group are tried."""
    common: dict[str, str]
    """Overrides of the command line, which hold for all."""


def make_plan(
    spec: str,
    common: Overrides,
    match: Match | None,
    search: str | None,
    trials: int | None,
    widths: Mapping[str, int] | None = None,
    seeds: Sequence[int] = (),
    met: Mapping[str, Sequence[Met]] | None = None,
) -> Plan:
    """Reads ``sweep()`` and builds what its points describe: a mistake shows before any run.

    Args:
      spec: the config file, with arguments that all points share; of those that points set
        themselves, such as one task of several, the points that have them are taken.
      common: overrides that all points share, which win over a point's own.
      match: the size that each setting's model is brought to, by ``model.width``, and its state,
        by a setting of its mixers' own; or the seconds
        that each run trains, by ``train.seconds``.
      search: "grid" runs every point, "stages" all settings once and the best with each seed
        (:mod:`seqmodels.sweeps.stages`); "random" and "tpe" propose settings while they run. None
        leaves it to ``sweep()``: stages where it says so, else the grid.
      trials: of a search, how many settings of each group are tried.
      widths: those of groups, by the text of their arguments, that were matched otherwise.
      seeds: what is repeated in place of ``sweep()``: the one run of the spec with each of them.
      met: what was found for groups before, by the text of their arguments.

    Raises:
      ConfigError: a point that can't be run, or arguments that none has, in one line.
      UserError: flags that don't fit together.
    """
    file, _, argument = spec.partition(":")
    shared = read_values(argument)
    sized = match
    if match is not None and match.by == "seconds":
        common, sized = [*common, (SECONDS, repr(float(match.target)))], None
    found = [{"seed": seed} for seed in seeds] if seeds else load_sweep(file)
    if search is None:
        search = "stages" if isinstance(found, Staged) else "grid"
    if (trials is None) != (search in ("grid", "stages")):
        raise UserError(
            f"search={search} takes trials=N, the settings to try of each group; "
            "search=grid and search=stages, which try all, take none"
        )
    points = _with_arguments(require_points(found, file), shared, spec)
    by_arguments: dict[str, list[Point]] = {}
    for point in points:
        by_arguments.setdefault(argument_text(split(point)[0]), []).append(point)
    groups, scores, models, unmatched = [], set(), [], []
    for own in by_arguments.values():
        arguments = shared | split(own[0])[0]
        text = argument_text(arguments)
        width, known = (widths or {}).get(text), (met or {}).get(text, ())
        builder = _Builder(file, arguments, dict(common), sized, width, known)
        group = builder.group(own, has_own_seeds=search == "grid")
        groups.append(builder.in_stages(group) if search == "stages" else group)
        scores |= builder.scores
        models += builder.models
        unmatched += builder.unmatched
    if unmatched:
        assert match is not None
        advice = f"; {common_targets(models, match)}" if match.state is None else ""
        raise ConfigError(f"{unmatched[0]}{advice}")
    if len(scores) > 1:
        shown = ", ".join(sorted(score for score, _ in scores))
        raise ConfigError(
            f"{file}: sweep() mixes tasks that are judged by {shown}; take those of one, as "
            f"config={file}:task=NAME does where NAME is an argument of its points"
        )
    score, higher_is_better = scores.pop()
    if trials is None:
        values = ((g, *item) for g in groups for s in g.settings for item in s.values.items())
        for group, name, value in values:
            if isinstance(value, Between):
                raise ConfigError(
                    f"{file}: {name} of {group.text or 'the sweep'} is a range; "
                    "take search=random or tpe, with trials=N"
                )
    plan = Plan(spec, groups, [], score, higher_is_better, match, search, trials, dict(common))
    return plan._replace(runs=_known_runs(plan))


def _with_arguments(points: list[Point], shared: Mapping[str, str], spec: str) -> list[Point]:
    """The points that have what is shared, of what they set themselves.

    Raises:
      ConfigError: there is none.
    """
    for name, value in shared.items():
        has = [split(point)[0].get(name) for point in points]
        if has.count(None) == len(has):
            continue
        points = [point for point, own in zip(points, has, strict=True) if str(own) == value]
        if not points:
            known = nearest(value, dict.fromkeys(str(own) for own in has if own is not None))
            raise ConfigError(f"config={spec}: no point of sweep() has {name}={value}; {known}")
    return points


def _known_runs(plan: Plan) -> list[Run]:
    if plan.trials is not None:
        return []
    seeds = 1 if plan.search == "stages" else None
    # The first setting of every group, then the second: an early look compares all.
    rounds = itertools.zip_longest(*([g.runs(s)[:seeds] for s in g.settings] for g in plan.groups))
    return [run for row in rounds for runs in row if runs for run in runs]


class _Built(NamedTuple):
    """What is known of a config when it has been built."""

    size: dict[str, Any]
    matched: dict[str, Any]
    """What is set so that it matches; empty without a match."""
    steps: int


class _Builder:
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
