"""Does one layer of attention see every input? A needle at distances of up to 254.

python sweep.py --config=experiments/attention_reach/config.py --workdir=sweeps/attention_reach
--workers=2

One block of width 64. What is asked stands behind a mark, so that a key must know what lies before
its position: by a short convolution of 4, or, in "alone", not at all.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import product, read_arguments, staged

_MIXERS: dict[str, dict[str, Any]] = {
    "global": {"kind": "attention"},
    "alone": {"kind": "attention"},
    "local": {"kind": "attention", "window": 16},
    "gru": {"kind": "gru"},
}
_RATES = (1e-3, 3e-3, 1e-2)


def sweep() -> list[dict[str, Any]]:
    """Every mixer."""
    tuned = {"optimizer.learning_rate": _RATES, "seed": (0, 1, 2)}
    return staged(product({"mixer": tuple(_MIXERS)}, tuned))


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=global|alone|local|gru."""
    name = read_arguments(arg, mixer=tuple(_MIXERS)).mixer
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "needle", "evaluation_examples": 2000}
    config.model = {
        "width": 64,
        "depth": 1,
        "pattern": (name,),
        "mixers": {name: _MIXERS[name]},
        "short_convolution": None if name == "alone" else 4,
    }
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 100}
    config.train = {"steps": 1200, "batch_size": 32, "length": 256, "evaluate_every": 400}
    return config.lock()
