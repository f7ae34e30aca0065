"""The copy task of minimal-LRU: hold 20 patterns of 7 bits, wait 7 steps, and say them again.

python sweep.py --config=experiments/lru_copy/config.py --seeds=0,1,2 --workdir=sweeps/lru_copy
--workers=2

A pattern of 7 bits is one of 128 symbols. An epoch of 20,000 examples is 312 batches of 64; four at
most.
"""

from ml_collections import ConfigDict

from seqmodels import read_arguments


def get_config(arg: str = "") -> ConfigDict:
    """No arguments."""
    read_arguments(arg)
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "copy", "pattern": 20, "symbols": 128, "evaluation_examples": 1000}
    config.model = {
        "width": 256,
        "depth": 4,
        "pattern": ("lru",),
        "mixers": {"lru": {"kind": "lru", "states": 128}},
        "dropout": 0.1,
    }
    config.optimizer = {"learning_rate": 1e-3, "warmup_steps": 31, "weight_decay": 0.05}
    config.train = {
        "steps": 1248,
        "batch_size": 64,
        "length": 47,
        "evaluate_every": 312,  # an epoch
        "stop_at": 1.0,
    }
    return config.lock()
