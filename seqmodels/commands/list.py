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
    "configs": "experiments: --config=NAME:ARGUMENTS, of which --config=NAME --help tells more",
    "presets": "architectures of about equal size: --config=CONFIG:mixer=NAME",
    "mixers": "what a model's blocks mix positions by: --config.model.mixers.ANY.kind=NAME",
    "tasks": "what is asked: --config.task.kind=NAME",
}


def main(kinds: list[str]) -> None:
    """Prints those that are named, or all."""
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"{kind!r} can't be listed; {nearest(kind, KINDS)}")
    for kind in kinds or KINDS:
        found = _listed(kind)
        width = max(map(len, found))
        print(f"{kind}, {KINDS[kind]}")
        for name, line in sorted(found.items()):
            print(f"  {name:{width}}  {line}")
        print()


def _listed(kind: str) -> dict[str, str]:
    """By name what each is; the imports take seconds."""
    if kind == "configs":
        return {file.stem: first_line(file) for file in CONFIGS.glob("*.py")}
    if kind == "presets":
        from seqmodels.presets import PRESETS

        kinds = {name: [mixer["kind"] for mixer in own.values()] for name, own in PRESETS.items()}
        return {name: ", ".join(dict.fromkeys(own)) for name, own in kinds.items()}
    if kind == "mixers":
        from seqmodels.mixers import MIXERS

        return {name: _said(mixer) for name, mixer in MIXERS.items()}
    from seqmodels.tasks import TASKS

    return {name: _said(task) for name, task in TASKS.items()}


def _said(one: Any) -> str:
    """What a docstring says first."""
    return (inspect.getdoc(one) or "").partition("\n")[0].replace("``", "")
