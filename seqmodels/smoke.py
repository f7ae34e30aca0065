"""Any config cut down to a few steps: does it run here at all, at its own sizes?"""

from typing import Any

from ml_collections import ConfigDict

STEPS = 4
EVALUATED = 64
"""Examples or windows of a split that are scored."""


def shorten(config: ConfigDict) -> None:
    """Makes a config a run of STEPS steps with two validations of few examples.

    What is bound to the number of steps goes down with it; model, batch and length stay. A section
    that is not what a run needs stays as it is, to be refused as in any run.
    """
    steps = {"steps": STEPS, "curriculum_steps": STEPS, "evaluate_every": STEPS // 2}
    _lower(config, "train", {**steps, "log_every": 1})
    _lower(config, "optimizer", {"warmup_steps": STEPS - 1})
    task: Any = config.get("task", {})
    names = [name for name in task if name.startswith("evaluation_")]
    _lower(config, "task", dict.fromkeys(names, EVALUATED))


def _lower(config: ConfigDict, section: str, most: dict[str, int]) -> None:
    keys: Any = config.get(section)
    for name, value in most.items() if isinstance(keys, ConfigDict) else ():
        now: Any = keys.get(name)
        if isinstance(now, int) and now > value:
            keys[name] = value
