"""Selective copying of 16 tokens among 256 positions (Gu and Dao 2023, Feng et al. 2024).

python sweep.py --config=experiments/selective_copying/config.py
--workdir=sweeps/selective_copying --workers=2

Width 64, vocabulary 16: Mamba, LRU and S4D of two layers, minGRU of three, with six times as many
states as the layer is wide and positive values, as its authors have it. The decays of LRU and S4D
don't see the input.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import read_arguments

_MIXERS = {
    "mingru": (3, {"expansion": 6.0, "log_space": True}),
    "mamba": (2, {}),
    "lru": (2, {}),
    "s4d": (2, {}),
}
"""Its depth, and what is set of it."""
_RATES = (2.5e-3, 5e-3, 1e-2, 2e-2)
_BEST = {"mamba": 5e-3, "mingru": 1e-2, "lru": 2.5e-3, "s4d": 1e-2}
"""The rate that validates best: Mamba's and minGRU's by trials (README.md)."""
_LONGER = ("mingru", "lru", "s4d")
"""What hasn't solved the task by then."""


def sweep() -> list[dict[str, Any]]:
    """Every mixer at every rate; at the best by two more seeds, and twice as long what needs it."""
    runs = [(name, rate, 12_000, 0) for name in _MIXERS for rate in _RATES]
    runs += [(name, _BEST[name], 24_000, 0) for name in _LONGER]
    runs += [(name, rate, 12_000, seed) for seed in (1, 2) for name, rate in _BEST.items()]
    keys = ("mixer", "optimizer.learning_rate", "train.steps", "seed")
    return [dict(zip(keys, run, strict=True)) for run in runs]


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=mingru|mamba|lru|s4d."""
    name = read_arguments(arg, mixer=tuple(_MIXERS)).mixer
    depth, settings = _MIXERS[name]
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "selective_copy", "evaluation_examples": 500}
    config.model = {
        "width": 64,
        "depth": depth,
        "pattern": (name,),
        "mixers": {name: {"kind": name, **settings}},
        "short_convolution": 4,
    }
    config.optimizer = {"learning_rate": 5e-3, "warmup_steps": 100, "weight_decay": 0.0}
    # Batches of 8: Mamba is at 86% after 9 minutes of a core, and at 32% with batches of 32.
    config.train = {
        "steps": 12_000,
        "batch_size": 8,
        "length": 256,
        "evaluate_every": 500,
        "stop_at": 0.998,
        "decode_step": False,
    }
    return config.lock()
