"""The synthetic tasks of Kimi Linear (2025, section 5.1), scaled down: palindrome, recall, stacks.

python sweep.py --config=experiments/kimi/config.py --workdir=sweeps/kimi
--match=parameters --target=75000 --workers=2

Two layers, two heads, a short convolution of 4.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import product, read_arguments, staged

TASKS: dict[str, dict[str, Any]] = {
    "palindrome": {"symbols": 16},
    "recall": {"vocabulary": 80, "pairs": 8},
    "stacks": {"stacks": 8, "symbols": 16},
}
MIXERS = ("kda", "gated_deltanet", "mamba2")
_SETTINGS: dict[str, dict[str, Any]] = {"mamba2": {"state_size": 64}}
_RATES = (1e-3, 3e-3, 1e-2)


def sweep() -> list[dict[str, Any]]:
    """Every mixer on every task."""
    tuned = {"optimizer.learning_rate": _RATES, "seed": (0, 1, 2)}
    return staged(product({"task": tuple(TASKS), "mixer": MIXERS}, tuned))


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: task=palindrome|recall|stacks, mixer=kda|gated_deltanet|mamba2."""
    arguments = read_arguments(arg, task=tuple(TASKS), mixer=MIXERS)
    name = arguments.mixer
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": arguments.task, "evaluation_examples": 500, **TASKS[arguments.task]}
    config.model = {
        "width": 64,
        "depth": 2,
        "pattern": (name,),
        "mixers": {name: {"kind": name, "heads": 2, **_SETTINGS.get(name, {})}},
        "short_convolution": 4,
    }
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 60}
    config.train = {
        "steps": 600,
        "batch_size": 32,
        "length": 66 if arguments.task == "stacks" else 64,
        "evaluate_every": 200,
        "stop_at": 0.995,
        "decode_step": False,
    }
    return config.lock()
