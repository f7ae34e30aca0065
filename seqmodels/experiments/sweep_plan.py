"""The plan of a sweep: every run that it takes, checked, sized and named; its ``sweep.json``."""

import itertools
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from seqmodels.config import differing_keys, flatten, load_config, load_sweep, override, to_dict
from seqmodels.errors import ConfigError, UserError
from seqmodels.experiment import Experiment, build_experiment
from seqmodels.experiments.groups import Group, Overrides, Run, argument_text, override_texts
from seqmodels.experiments.matching import TOLERANCE, Match, match_width, measure
from seqmodels.experiments.points import Between, Point, require_points, split
from seqmodels.experiments.trials import Trial, read_json, write_json


class Plan(NamedTuple):
    """A sweep: what to run, and by what it is judged."""

    config: str
    groups: list[Group]
    runs: list[Run]
    """Those that are known in advance; of a search none."""
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
    search: str,
    trials: int | None,
) -> Plan:
    """Reads ``sweep()`` and builds what its points describe: a mistake shows before any run.

    Args:
      spec: the config file, with arguments that all points share.
      common: overrides that all points share, which win over a point's own.
      match: the size that each group's models are brought to, by ``model.width``.
      search: "grid" runs every point; "random" and "tpe" propose settings while they run.
      trials: of a search: how many settings of each group are tried.

    Raises:
      ConfigError: a point that can't be run, in one line.
      UserError: flags that don't fit together.
    """
    file, _, argument = spec.partition(":")
    if (trials is None) != (search == "grid"):
        raise UserError(
            f"--search={search} takes --trials=N, the settings to try of each group; "
            "--search=grid, which tries all, takes none"
        )
    points = require_points(load_sweep(file), file)
    by_arguments: dict[str, list[Point]] = {}
    for point in points:
        by_arguments.setdefault(argument_text(split(point)[0]), []).append(point)
    groups, scores = [], set()
    for own in by_arguments.values():
        group, experiment = _make_group(file, argument, own, dict(common), match)
        groups.append(group)
        scores.add((experiment.task.spec.score, experiment.task.spec.higher_is_better))
    if len(scores) > 1:
        shown = ", ".join(sorted(score for score, _ in scores))
        raise ConfigError(f"{file}: sweep() mixes tasks that are judged by {shown}; take one")
    score, higher_is_better = scores.pop()
    if search == "grid":
        for group, name in ((g, n) for g in groups for s in g.settings for n in s.items()):
            if isinstance(name[1], Between):
                raise ConfigError(
                    f"{file}: {name[0]} of {group.text or 'the sweep'} is a range; "
                    "take --search=random or tpe, with --trials=N"
                )
    # The first setting of every group, then the second: an early look compares all.
    rounds = itertools.zip_longest(*([g.runs(s) for s in g.settings] for g in groups))
    known = [run for row in rounds for runs in row if runs for run in runs]
    runs = known if search == "grid" else []
    return Plan(spec, groups, runs, score, higher_is_better, match, search, trials, dict(common))


def _make_group(
    file: str, argument: str, points: list[Point], common: dict[str, str], match: Match | None
) -> tuple[Group, Experiment]:
    """A group, its distinct values built once each, and the experiment of its first point."""
    shared: dict[str, Any] = {}
    for part in filter(None, argument.split(",")):
        key, _, shared[key] = part.partition("=")
    arguments = split(points[0])[0]
    if twice := shared.keys() & arguments.keys():
        raise ConfigError(f"--config={file}:{argument}: sweep() sets {min(twice)!r} itself")
    arguments = shared | arguments
    name = f"{file}:{argument_text(arguments)}"
    fixed: dict[str, Any] = {}
    settings: list[dict[str, Any]] = []
    seeds: list[int | None] = []
    seen: set[str] = set()
    first: Experiment | None = None
    size: dict[str, Any] = {}
    for point in points:
        setting = {key: value for key, value in split(point)[1].items() if key not in common}
        new = {repr(item) for item in setting.items()} - seen
        seen |= new
        if new or first is None:
            config, experiment = _build(file, arguments, setting, common, name)
            if first is None:
                first = experiment
                fixed = {key: value for key, value in flatten(config).items() if key in common}
                if match is not None:
                    if "model.width" in setting or "model.width" in common:
                        raise ConfigError(f"{name}: --match chooses model.width; don't set it")
                    width = match_width(experiment, config, match, name)
                    override(config, "model.width", str(width))
                    fixed["model.width"] = width
                    experiment = build_experiment(config)
                size = measure(experiment.model, experiment.train.length)._asdict()
        seed = setting.pop("seed", None)
        if seed not in seeds:
            seeds.append(seed)
        if setting not in settings:
            settings.append(setting)
    assert first is not None
    return Group(arguments, settings, seeds, size, fixed), first


def _build(
    file: str, arguments: dict, setting: dict, common: dict[str, str], name: str
) -> tuple[ConfigDict, Experiment]:
    """Builds a point; of a range its ends are tried."""
    built = None
    for end in (0, 1) if any(isinstance(v, Between) for v in setting.values()) else (0,):
        values = {k: v[end] if isinstance(v, Between) else v for k, v in setting.items()}
        try:
            config = load_config(f"{file}:{argument_text(arguments)}", override_texts(values))
            for key, text in common.items():
                override(config, key, text)
            built = config, build_experiment(config)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from None
    assert built is not None
    return built


def require_sweep_folder(folder: Path) -> None:
    """Refuses a folder that holds something else than a sweep; an empty or missing one is fine."""
    if not (folder / "sweep.json").exists() and any(folder.glob("[!.]*")):
        holds = "a run" if (folder / "config.json").exists() else "other files"
        raise UserError(f"--workdir={folder} holds {holds} and no sweep; choose another folder")


def store_plan(plan: Plan, folder: Path, command: str) -> str:
    """Writes a plan's ``sweep.json``, or adds its new points to the one that is there.

    Returns the sweep's identity, which its studies carry in their names.

    Raises:
      UserError: the folder holds another sweep, or runs of another version of the config.
    """
    stored = read_json(folder / "sweep.json")
    match = {"by": None, "target": None} if plan.match is None else plan.match._asdict()
    described = {
        "config": plan.config,
        "common": plan.common,
        "match": {**match, "tolerance": TOLERANCE},
        "search": plan.search,
    }
    if stored is not None:
        old = {key: stored.get(key) for key in described}
        if differing := differing_keys(old, to_dict(described)):
            raise UserError(
                f"--workdir={folder} holds another sweep: {'; '.join(differing)}. Choose another "
                "folder, or the same command"
            )
    _require_same_configs(plan.runs, folder, plan.config)
    identity = uuid.uuid4().hex[:8] if stored is None else stored["id"]
    write_json(
        folder / "sweep.json",
        {
            "kind": "sweep",
            "id": identity,
            **described,
            "command": command,
            "score": plan.score,
            "higher_is_better": plan.higher_is_better,
            "points": [run._asdict() for run in plan.runs],
        },
    )
    return identity


def add_points(folder: Path, runs: Iterable[Run]) -> None:
    """Adds to ``sweep.json`` the points that a search has proposed."""
    stored = read_json(folder / "sweep.json")
    assert stored is not None
    known = {point["name"] for point in stored["points"]}
    if new := [run._asdict() for run in runs if run.name not in known]:
        write_json(folder / "sweep.json", {**stored, "points": [*stored["points"], *new]})


def _require_same_configs(runs: list[Run], folder: Path, spec: str) -> None:
    """Refuses a config file that has changed under the runs that lie here."""
    file = spec.partition(":")[0]
    for run in runs:
        stored = read_json(Trial(folder, run.name).folder / "config.json")
        if stored is not None:
            config = load_config(
                f"{file}:{argument_text(run.arguments)}", override_texts(run.overrides)
            )
            if differing := differing_keys(stored, to_dict(config)):
                raise UserError(
                    f"--workdir={folder} holds a sweep of another version of {file}: run "
                    f"{run.name} has {'; '.join(differing)}. Choose another folder"
                )
