"""Multi-query recall with Zoology's data at 64 positions and 4 pairs (Arora et al. 2023).

python sweep.py --config=experiments/zoology_recall/config.py --workdir=sweeps/zoology_recall
--workers=2

Two layers of width 64 without MLP, tied embeddings, learned positions for attention alone.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import product, read_arguments, staged

MIXERS: dict[str, dict[str, Any]] = {
    "global": {"kind": "attention", "heads": 1, "positions": "none"},
    "hyena": {"kind": "hyena", "max_length": 64},
    "mamba2": {"kind": "mamba2", "heads": 4, "state_size": 64},
    "gated_deltanet": {"kind": "gated_deltanet", "heads": 4},  # one takes 4 s a step
}
_EPOCHS = {"global": 8, "hyena": 8, "mamba2": 2, "gated_deltanet": 2}  # the latter end at 99%
_EPOCH = 390  # batches of 256 in 100,000 examples
_RATES = (4.6e-4, 2.2e-3, 1e-2)  # three of Zoology's four, logspace(-4, -2, 4)


def sweep() -> list[dict[str, Any]]:
    """Every mixer."""
    tuned = {"optimizer.learning_rate": _RATES, "seed": (0, 1, 2)}
    return staged(product({"mixer": tuple(MIXERS)}, tuned))


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=global|hyena|mamba2|gated_deltanet."""
    name = read_arguments(arg, mixer=tuple(MIXERS)).mixer
    attends = name == "global"
    config = ConfigDict()
    config.seed = 0
    config.task = {
        "kind": "recall",
        "vocabulary": 8192,
        "pairs": 4,
        "power": 0.01,
        "filler": "random",
        "evaluation_examples": 1000,
    }
    config.model = {
        "width": 64,
        "depth": 2,
        "pattern": (name,),
        "mixers": {name: MIXERS[name]},
        "tied_embeddings": True,
        "short_convolution": None if attends or name == "hyena" else 4,
        "positions": "learned" if attends else "none",
        "max_length": 64 if attends else None,
    }
    config.optimizer = {"learning_rate": 1e-3, "warmup_steps": 100, "weight_decay": 0.1}
    config.train = {
        "steps": _EPOCHS[name] * _EPOCH,
        "batch_size": 256,
        "length": 64,
        "evaluate_every": 195,
        "stop_at": 0.99,
        "decode_step": False,
    }
    return config.lock()
