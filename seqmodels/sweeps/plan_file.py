"""A plan in its folder: written to ``sweep.json``, and held against what lies there."""

from pathlib import Path
from typing import Any

from seqmodels.command import command
from seqmodels.config import differing_keys, load_config, to_dict
from seqmodels.errors import UserError
from seqmodels.json_files import UnreadableError, write_json
from seqmodels.output import warn
from seqmodels.sweeps.files import SweepFile, read_sweep
from seqmodels.sweeps.groups import HASHED, Run, argument_text, override_texts
from seqmodels.sweeps.matching import TOLERANCE, WIDTH, Met, Size
from seqmodels.sweeps.plan import Plan
from seqmodels.sweeps.trials import Trial
from seqmodels.training.resolving import resolved, settable
from seqmodels.training.run_files import read_run_file
from seqmodels.training.workdir import without_how

OWN = ("trials", "slurm", "sweep.sqlite3*", "workers.txt", "summary.json", "summary.csv", ".*")
"""What a sweep may have left in a folder before or beside its ``sweep.json``."""


def require_sweep_folder(folder: Path) -> None:
    """Refuses a folder that holds something else than a sweep; an empty or missing one is fine."""
    if not folder.is_dir() or (folder / "sweep.json").exists():
        return
    own = {path for pattern in OWN for path in folder.glob(pattern)}
    if set(folder.glob("*")) - own:
        holds = "a run" if (folder / "config.json").exists() else "other files"
        raise UserError(f"workdir={folder} holds {holds} and no sweep; choose another folder")


def first_widths(stored: SweepFile | None) -> dict[str, int]:
    """The widths that a folder of an earlier version goes on with, by its groups' arguments."""
    if stored is None or stored["match"]["by"] is None:
        return {}
    if stored["match"].get("widths") == "each setting":
        return {}
    found = {argument_text(p["arguments"]): p["overrides"].get(WIDTH) for p in stored["points"]}
    return {group: width for group, width in found.items() if type(width) is int and width > 0}


def found_before(stored: SweepFile | None) -> dict[str, list[Met]]:
    """What a folder's models were matched by, by their groups' arguments: seeking it takes a
    second a model, and a sweep is given again to go on."""
    if stored is None or stored["match"]["by"] is None:
        return {}
    keys = (WIDTH, *stored["match"].get("settings", ()))
    found: dict[str, list[Met]] = {}
    for point in stored["points"]:
        settings = {key: v for key, v in point["overrides"].items() if key in keys}
        of_group = found.setdefault(argument_text(point["arguments"]), [])
        met = Met(settings, Size(**point["size"]))
        if settings and met not in of_group:
            of_group.append(met)
    return found


def has_bare_names(stored: SweepFile | None) -> bool:
    """Whether the runs of a folder are named by their hashes alone: an earlier version began it."""
    return stored is not None and any(len(point["name"]) == HASHED for point in stored["points"])


def store_plan(plan: Plan, folder: Path, widths: dict[str, int]) -> None:
    """Writes a plan's ``sweep.json``, or adds its new points to the one that is there.

    The widths are those of :func:`first_widths`.

    Raises:
      UserError: the folder holds another sweep, or runs of another version of the config.
    """
    stored = read_sweep(folder)
    match: dict[str, Any] = plan.match._asdict() if plan.match else {"by": None, "target": None}
    if match.get("state") is None:  # as in folders of versions that matched one thing
        match.pop("state", None)
    match["tolerance"] = TOLERANCE
    described = {name: getattr(plan, name) for name in ("config", "common", "search")}
    described["match"] = match
    if stored is not None:
        old: dict[str, Any] = {name: stored[name] for name in described}
        old["match"] = {k: v for k, v in stored["match"].items() if k not in ("widths", "settings")}
        if differing := differing_keys(old, to_dict(described)):
            raise UserError(
                f"workdir={folder} holds another sweep: {'; '.join(differing)}. Choose another "
                "folder, or the same command"
            )
    _require_same_configs(plan.runs, folder, plan.config)
    if plan.match is not None:
        match["widths"] = "first setting" if widths else "each setting"
        if plan.match.state is not None:
            fixed = (s.fixed for g in plan.groups for s in (*g.settings, *g.below, *g.above))
            match["settings"] = sorted({key for keys in fixed for key in keys} - {*plan.common})
    points = {run.name: run._asdict() for run in plan.runs}
    # What a search has proposed before stays among the points, and what stages went on to.
    of_stages = {run.name for group in plan.groups for run in group.every()}
    for point in stored["points"] if stored is not None and plan.search != "grid" else ():
        if plan.trials is not None or point["name"] in of_stages:
            points.setdefault(point["name"], point)
    content = {
        "kind": "sweep",
        **described,
        "command": command(),
        "score": plan.score,
        "higher_is_better": plan.higher_is_better,
        "points": list(points.values()),
    }
    write_json(folder / "sweep.json", content)


def _require_same_configs(runs: list[Run], folder: Path, spec: str) -> None:
    """Refuses a config file that has changed under the runs that lie here."""
    file = spec.partition(":")[0]
    for run in runs:
        try:
            stored = read_run_file(Trial(folder, run.name).folder, "config.json")
        except UnreadableError as error:  # the others go on
            warn(f"{error}; nothing is held against it")
            continue
        if stored is not None:
            config, _ = load_config(
                f"{file}:{argument_text(run.arguments)}", override_texts(run.overrides), settable
            )
            before, now = resolved(stored, stored), resolved(config, stored)
            if differing := differing_keys(*map(without_how, map(to_dict, (before, now)))):
                raise UserError(
                    f"workdir={folder} holds a sweep of another version of {file}: run "
                    f"{run.name} has {'; '.join(differing)}. Choose another folder, or take that "
                    "run out"
                )
