"""The plan of a sweep: every run that it takes, checked, sized and named."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from seqmodels.config import load_sweep, read_values
from seqmodels.errors import ConfigError, UserError, nearest
from seqmodels.sweeps.group_builder import GroupBuilder
from seqmodels.sweeps.groups import Group, Overrides, Run, argument_text
from seqmodels.sweeps.matching import Match, Met, common_targets
from seqmodels.sweeps.points import Between, Point, Staged, require_points, split

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
        builder = GroupBuilder(file, arguments, dict(common), sized, width, known)
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
