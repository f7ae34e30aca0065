"""Induction heads, trained at 256 positions and asked to 4,096 (Gu and Dao 2023, Table 11).

python sweep.py --config=experiments/induction/config.py --workdir=sweeps/induction --workers=2

Two layers of width 64, batches of 8, a constant rate, at most 15,000 steps.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import product, read_arguments, staged

_RATES = (3e-4, 1e-3, 3e-3)


def sweep() -> list[dict[str, Any]]:
    """Mamba and rotary attention."""
    tuned = {"optimizer.learning_rate": _RATES, "seed": (0, 1, 2)}
    return staged(product({"mixer": ("mamba", "global")}, tuned))


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=mamba|global."""
    name = read_arguments(arg, mixer=("mamba", "global")).mixer
    mixer = {"kind": "mamba"} if name == "mamba" else {"kind": "attention", "positions": "rotary"}
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "induction", "vocabulary": 16, "evaluation_examples": 500}
    config.model = {
        "width": 64,
        "depth": 2,
        "pattern": (name,),
        "mixers": {name: mixer},
        "short_convolution": 4 if name == "mamba" else None,
    }
    config.optimizer = {"learning_rate": 1e-3, "warmup_steps": 100, "weight_decay": 0.0}
    config.optimizer["schedule"] = {"kind": "constant"}
    config.train = {
        "steps": 15_000,
        "batch_size": 8,
        "length": 256,
        "evaluate_every": 1000,
        "stop_at": 0.999,
        "decode_step": False,
    }
    return config.lock()
