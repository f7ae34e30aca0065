"""ListOps of up to 256 tokens: a Transformer against a linear recurrence (Tay et al. 2021).

python sweep.py --config=experiments/listops/config.py --workdir=sweeps/listops
--match=parameters --target=210000 --workers=2

32,000 expressions, a third of the benchmark's number, of an eighth of its length.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import product, read_arguments, staged

_MIXERS: dict[str, dict[str, Any]] = {
    "transformer": {"kind": "attention", "causal": False},
    "s5": {"kind": "bidirectional", "mixer": {"kind": "s5"}},
}
_RATES = (1e-3, 3e-3, 1e-2)


def sweep() -> list[dict[str, Any]]:
    """Both."""
    tuned = {"optimizer.learning_rate": _RATES, "seed": (0, 1, 2)}
    return staged(product({"mixer": tuple(_MIXERS)}, tuned))


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=transformer|s5."""
    name = read_arguments(arg, mixer=tuple(_MIXERS)).mixer
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "listops", "evaluation_examples": 1000}
    config.model = {
        "width": 64,
        "depth": 4,
        "pattern": (name,),
        "mixers": {name: _MIXERS[name]},
        "mlp": "gelu",
        "mlp_expansion": 2.0,
        "pooling": "mean",
        "dropout": 0.1,
    }
    config.optimizer = {"learning_rate": 1e-3, "warmup_steps": 100, "weight_decay": 0.05}
    config.train = {"steps": 1000, "batch_size": 32, "length": 256, "evaluate_every": 250}
    return config.lock()
