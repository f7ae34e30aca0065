"""Selective copying of 16 tokens among 256 positions (Gu and Dao 2023, Feng et al. 2024).

python sweep.py --config=experiments/selective_copying/config.py
--workdir=sweeps/selective_copying --workers=2

Width 64, vocabulary 16: Mamba, LRU and S4D of two layers, minGRU of three. The decays of LRU and
S4D don't see the input.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import chain, product, read_arguments

_DEPTHS = {"mingru": 3, "mamba": 2, "lru": 2, "s4d": 2}
_RATES = (1e-3, 3e-3, 1e-2, 3e-2)
# The rate that validated best after 1,500 steps, and the steps of a long run with it: fewer of
# Mamba and S4D, which cost most, and of the LRU, which stayed at chance through 3,250 of 15,000.
_CHOSEN = {
    "mamba": (1e-2, 6000),
    "s4d": (3e-2, 6000),
    "mingru": (3e-2, 15_000),
    "lru": (1e-2, 6000),
}


def sweep() -> list[dict[str, Any]]:
    """Every mixer at every rate for a while, and three seeds of the best rate for long."""
    rate = "optimizer.learning_rate"
    tuned = product({"mixer": tuple(_DEPTHS)}, {rate: _RATES, "seed": (0,)})
    long = (
        product({"mixer": (name,)}, {rate: (own,), "train.steps": (steps,), "seed": (seed,)})
        for seed in (0, 1, 2)
        for name, (own, steps) in _CHOSEN.items()
    )
    return chain(tuned, *long)


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=mingru|mamba|lru|s4d."""
    name = read_arguments(arg, mixer=tuple(_DEPTHS)).mixer
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "selective_copy", "evaluation_examples": 500}
    config.model = {
        "width": 64,
        "depth": _DEPTHS[name],
        "pattern": (name,),
        "mixers": {name: {"kind": name}},
        "short_convolution": 4,
    }
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 100, "weight_decay": 0.0}
    config.train = {
        "steps": 1500,
        "batch_size": 32,
        "length": 256,
        "evaluate_every": 250,
        "stop_at": 0.998,
        "decode_step": False,
    }
    return config.lock()
