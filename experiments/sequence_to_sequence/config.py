"""Strings written backwards or again, by their greatest length, with attention and without.

python sweep.py --config=experiments/sequence_to_sequence/config.py
--workdir=sweeps/sequence_to_sequence --workers=2

An offline proxy of Bahdanau et al. 2015: an encoder and a decoder of one GRU each, width 64.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import product, read_arguments, staged

TASKS = ("reverse", "copy_string")
LIMITS = (15, 30)
_RATES = (1e-3, 3e-3, 1e-2)


def sweep() -> list[dict[str, Any]]:
    """Both tasks up to both lengths, with attention and without."""
    cells = {"task": TASKS, "limit": LIMITS, "cross": ("additive", "none")}
    return staged(product(cells, {"optimizer.learning_rate": _RATES, "seed": (0, 1, 2)}))


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: task=reverse|copy_string, limit=15, cross=additive|none."""
    arguments = read_arguments(arg, task=TASKS, limit=15, cross=("additive", "none"))
    stack = {"depth": 1, "pattern": ("gru",), "mixers": {"gru": {"kind": "gru"}}}
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": arguments.task, "evaluation_examples": 500}
    config.model = {
        "width": 64,
        "encoder": stack,
        "decoder": stack,
        "cross": arguments.cross,
        "cross_heads": 1 if arguments.cross != "none" else None,
        "pooling": "last",
    }
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 100, "weight_decay": 0.01}
    config.train = {
        "steps": 2000,
        "batch_size": 64,
        "length": arguments.limit,
        "evaluate_every": 500,
        "stop_at": 0.995,
    }
    return config.lock()
