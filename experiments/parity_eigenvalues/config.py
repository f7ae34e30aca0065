"""Parity by linear recurrences with eigenvalues in [0, 1] and in [-1, 1] (Grazzi et al. 2025).

python sweep.py --config=experiments/parity_eigenvalues/config.py
--workdir=sweeps/parity_eigenvalues --workers=2

Two layers of width 64 with a short convolution, strings of 3 to 40 symbols, asked at 40 to 256.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import product, read_arguments, staged

MIXERS: dict[str, dict[str, Any]] = {
    "mamba": {"kind": "mamba"},
    "mamba_signed": {"kind": "mamba", "negative_eigenvalues": True},
    "deltanet": {"kind": "deltanet"},
    "deltanet_signed": {"kind": "deltanet", "negative_eigenvalues": True},
}
_RATES = (1e-3, 3e-3, 1e-2)


def sweep() -> list[dict[str, Any]]:
    """Both mixers with both ranges."""
    tuned = {"optimizer.learning_rate": _RATES, "seed": (0, 1, 2)}
    return staged(product({"mixer": tuple(MIXERS)}, tuned))


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=mamba|mamba_signed|deltanet|deltanet_signed."""
    name = read_arguments(arg, mixer=tuple(MIXERS)).mixer
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "parity", "each": True, "evaluation_examples": 500}
    config.model = {
        "width": 64,
        "depth": 2,
        "pattern": (name,),
        "mixers": {name: MIXERS[name]},
        "short_convolution": 4,
    }
    config.optimizer = {
        "learning_rate": 1e-3,
        "warmup_steps": 300,
        "final_learning_rate": 1e-6,
        "weight_decay": 0.0,
    }
    config.train = {
        "steps": 3000,
        "batch_size": 64,
        "length": 40,
        "lengths": "uniform",
        "shortest": 3,
        "evaluate_every": 500,
        "stop_at": 1.0,
        "decode_step": False,
    }
    return config.lock()
