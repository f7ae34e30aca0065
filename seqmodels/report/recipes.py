"""How a number was made: command, config, overrides, seed, versions and machine."""

import json
from typing import Any

from seqmodels.report.reading import Scaling, StoredRun
from seqmodels.report.table import Recipe
from seqmodels.report.values import readable


def run_recipe(run: StoredRun) -> Recipe:
    """All that it takes to make a run again, and what made it."""
    environment = run.environment
    lines = [
        ("Folder", readable(run.folder)),
        ("State", "\n".join(run.state)),
        ("Command", environment.get("command")),
        ("Config file", run.facts.get("origin", {}).get("file")),
        ("Arguments", _lines(run.asked.get("arguments", {}))),
        ("Overrides", _lines(run.asked.get("overrides", {}))),
        ("Seed", run.seed),
        ("Decided by the run", _lines(run.decided)),
        ("Versions", _versions(environment)),
        ("Commit", environment.get("commit")),
        ("Machine", _machine(environment)),
        ("Attempts", run.trial.get("attempts")),
        ("Config", json.dumps(run.config, indent=2) if run.config else None),
    ]
    return _told(lines)


def scaling_recipe(scaling: Scaling) -> Recipe:
    """What measured the cells of a scaling experiment, and on what."""
    content = scaling.content
    lines = [
        ("Folder", readable(scaling.folder)),
        ("Command", content.get("command")),
        ("Config file", content.get("config")),
        ("Target", content.get("target")),
        ("Mesh", content.get("mesh")),
        ("Machine", _lines(content["machine"])),
        ("Config", json.dumps(scaling.config, indent=2) if scaling.config else None),
    ]
    return _told(lines)


def _told(lines: list[tuple[str, Any]]) -> Recipe:
    return [(heading, readable(str(text))) for heading, text in lines if text not in (None, "")]


def _versions(environment: dict[str, Any]) -> str:
    named = {"python": environment.get("python"), **environment.get("packages", {})}
    return ", ".join(f"{name} {version}" for name, version in named.items() if version)


def _machine(environment: dict[str, Any]) -> str:
    devices, cores = environment.get("devices"), environment.get("cores")
    parts = [environment.get("platform"), f"{cores} cores" if cores else None]
    parts += [", ".join(map(str, devices))] if isinstance(devices, list) else []
    return "\n".join(str(part) for part in parts if part)


def _lines(content: dict[str, Any]) -> str:
    return "\n".join(
        f"{key} = {value if isinstance(value, str) else json.dumps(value)}"
        for key, value in content.items()
    )
