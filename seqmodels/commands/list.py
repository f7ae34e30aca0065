"""Shows what there is to choose from: configs, presets, mixers and tasks.

seqmodels list
seqmodels list mixers tasks
"""

import inspect
from typing import Any

from seqmodels.config_files import CONFIGS
from seqmodels.config_help import first_line
from seqmodels.errors import UserError, nearest

KINDS = {
    "configs": "--config=NAME:ARGUMENTS, and train --config=NAME --help tells its arguments",
    "presets": "--config=CONFIG:mixer=NAME, architectures of about equal size",
    "mixers": "--config.model.mixers.ANY.kind=NAME",
    "tasks": "--config.task.kind=NAME",
}


def main(kinds: list[str]) -> None:
    """Prints those that are named, or all."""
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"{kind!r} can't be listed; {nearest(kind, KINDS)}")
    for kind in kinds or KINDS:
        found = _listed(kind)
        width = max(map(len, found))
        print(f"{kind}: {KINDS[kind]}")
        for name, line in sorted(found.items()):
            print(f"  {name:{width}}  {line}")
        print()


def _listed(kind: str) -> dict[str, str]:
    """By name what each is; the imports take seconds."""
    if kind == "configs":
        return {file.stem: first_line(file) for file in CONFIGS.glob("*.py")}
    if kind == "presets":
        from seqmodels.presets import MLPS, PRESETS

        mlps = {name: f"; MLPs {expansion:g} times as wide" for name, expansion in MLPS.items()}
        return {name: _mixers(own) + mlps.get(name, "") for name, own in PRESETS.items()}
    if kind == "mixers":
        from seqmodels.mixers import MIXERS

        return {name: _said(mixer) for name, mixer in MIXERS.items()}
    from seqmodels.tasks import TASKS

    return {name: _said(task) for name, task in TASKS.items()}


def _mixers(named: dict[str, dict[str, Any]]) -> str:
    """The mixers of a preset, each once, with their settings but for the direction."""
    said = []
    for mixer in named.values():
        settings = [
            f"{key}={value['kind'] if isinstance(value, dict) else value}"
            for key, value in mixer.items()
            if key not in ("kind", "causal")
        ]
        said.append(" ".join([mixer["kind"], *settings]))
    return ", ".join(dict.fromkeys(said))


def _said(one: Any) -> str:
    """What a docstring says first."""
    return (inspect.getdoc(one) or "").partition("\n")[0].replace("``", "")
