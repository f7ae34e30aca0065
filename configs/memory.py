"""Memory over a distance: who holds, selects, adds and finds again, and over how long?

python train.py --config=configs/memory.py:task=selective_copy,mixer=gru --workdir=runs/memory

What each task asks stands in memory.py and in_context.py of seqmodels/tasks/generated/, its chance
level in docs/tasks.md.
Recall with noise is --config.task.noise=0.2 --config.task.vocabulary=32
--config.task.noise_vocabulary=16.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels.config import read_arguments
from seqmodels.errors import ConfigError, nearest
from seqmodels.presets import preset

_SETTINGS: dict[str, dict[str, Any]] = {
    "delayed_copy": {"delay": 16, "symbols": 8},
    "selective_copy": {"pattern": 16, "symbols": 14},
    "adding": {},
    "induction": {"vocabulary": 16},
    "needle": {"vocabulary": 16, "distance": None},
    "in_context_recall": {"vocabulary": 16, "noise": 0.0, "noise_vocabulary": 0},
    "fuzzy_recall": {"vocabulary": 16, "motif": 3},
    "memorisation": {"vocabulary": 256},
}


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: task=delayed_copy|selective_copy|adding|induction|needle|in_context_recall|
    fuzzy_recall|memorisation, mixer=PRESET (seqmodels/presets.py), length=64."""
    arguments = read_arguments(arg, task="selective_copy", mixer="global", length=64)
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
        pooling="last" if arguments.task == "adding" else None,
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
