"""Formal languages: which mixer counts, nests, and tracks a state?

python train.py --config=configs/languages.py:task=parity,mixer=lstm --workdir=runs/parity

What each task asks stands in languages.py, arithmetic.py and listops.py of
seqmodels/tasks/generated/, its chance level in docs/tasks.md.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels.config import read_arguments
from seqmodels.errors import ConfigError, nearest
from seqmodels.presets import preset

_SETTINGS: dict[str, dict[str, Any]] = {
    "parity": {},
    "even_pairs": {},
    "cycle_navigation": {},
    "modular_arithmetic": {},
    "modular_arithmetic_brackets": {},
    "word_problem": {"group": "s5"},
    "listops": {"depth": 10, "arguments": 10},
}


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: task=parity|even_pairs|cycle_navigation|modular_arithmetic|
    modular_arithmetic_brackets|word_problem|listops, mixer=PRESET (seqmodels/presets.py), length=40
    (odd for modular_arithmetic)."""
    arguments = read_arguments(arg, task="parity", mixer="lstm", length=40)
    if arguments.task not in _SETTINGS:
        raise ConfigError(
            f"task={arguments.task!r} is not known; {nearest(arguments.task, _SETTINGS)}"
        )
    config = ConfigDict()
    config.seed = 0
    config.task = {
        "kind": arguments.task,
        **_SETTINGS[arguments.task],
        "evaluation_examples": 1000,
    }
    config.model = preset(
        arguments.mixer,
        parameters=100_000,
        depth=2,
        causal=True,
        pooling=None if arguments.task == "word_problem" else "last",
    )
    config.optimizer = {
        "learning_rate": 3e-3,
        "warmup_steps": 100,
        "final_learning_rate": 0.0,
        "weight_decay": 0.05,
        "beta1": 0.9,
        "beta2": 0.98,
        "clip_norm": 1.0,
    }
    config.train = {
        "steps": 2000,
        "batch_size": 64,
        "length": arguments.length,
        "accumulate": 1,
        "log_every": 100,
        "evaluate_every": 250,
        "truncate": None,
        "lengths": None,
        "shortest": None,
        "curriculum_steps": None,
    }
    return config.lock()
