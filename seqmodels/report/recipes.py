"""How a number was made: command, config, overrides, seed, versions and machine."""

import json
import shlex
from typing import Any

from seqmodels.report.reading import Scaling, StoredRun
from seqmodels.report.table import Recipe
from seqmodels.report.values import readable


def run_recipe(run: StoredRun) -> Recipe:
    """All that it takes to make a run again, and what made it."""
    environment, trial = run.environment, run.trial
    file, asked = _asked(environment.get("command"))
    arguments = trial.get("arguments")
    overrides = trial.get("overrides")
    lines = [
        ("Folder", readable(run.folder)),
        ("State", "\n".join(run.state)),
        ("Command", environment.get("command")),
        ("Config file", file),
        ("Arguments", _lines(arguments) if isinstance(arguments, dict) else None),
        ("Overrides", _lines(overrides) if isinstance(overrides, dict) else "\n".join(asked)),
        ("Seed", run.config.get("seed")),
        ("Versions", _versions(environment)),
        ("Commit", environment.get("commit")),
        ("Machine", _machine(environment)),
        ("Attempts", trial.get("attempts")),
        ("Config", json.dumps(run.config, indent=2) if run.config else None),
    ]
    return [(heading, readable(str(text))) for heading, text in lines if text not in (None, "")]


def scaling_recipe(scaling: Scaling) -> Recipe:
    """What measured the cells of a scaling experiment, and on what."""
    content = scaling.content
    machine = content.get("machine")
    lines = [
        ("Folder", readable(scaling.folder)),
        ("Command", content.get("command")),
        ("Config file", content.get("config")),
        ("Target", content.get("target")),
        ("Machine", _lines(machine) if isinstance(machine, dict) else machine),
        ("Config", json.dumps(scaling.config, indent=2) if scaling.config else None),
    ]
    return [(heading, readable(str(text))) for heading, text in lines if text not in (None, "")]


def _asked(command: Any) -> tuple[str | None, list[str]]:
    """The config that a command names, and the keys that it sets."""
    try:
        words = shlex.split(command) if isinstance(command, str) else []
    except ValueError:
        words = []
    files = [w.removeprefix("--config=") for w in words if w.startswith("--config=")]
    return (files[0] if files else None), [w[9:] for w in words if w.startswith("--config.")]


def _versions(environment: dict[str, Any]) -> str:
    packages = environment.get("packages")
    named = {
        "python": environment.get("python"),
        **(packages if isinstance(packages, dict) else {}),
    }
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
