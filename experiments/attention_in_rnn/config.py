"""An encoder and a decoder of GRUs write a string backwards, with attention or without.

python sweep.py --config=experiments/attention_in_rnn/config.py --workdir=sweeps/attention_in_rnn
--workers=2

Sources of 1 to 20 symbols, exact match at the length that is asked.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import product, read_arguments, staged

_RATES = (1e-3, 3e-3, 1e-2)


def sweep() -> list[dict[str, Any]]:
    """With attention and without."""
    tuned = {"optimizer.learning_rate": _RATES, "seed": (0, 1, 2)}
    return staged(product({"cross": ("additive", "none")}, tuned))


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: cross=additive|none."""
    cross = read_arguments(arg, cross=("additive", "none")).cross
    stack = {"depth": 1, "pattern": ("gru",), "mixers": {"gru": {"kind": "gru"}}}
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "reverse", "evaluation_examples": 500}
    config.model = {
        "width": 64,
        "encoder": stack,
        "decoder": stack,
        "cross": cross,
        "cross_heads": 1 if cross != "none" else None,
        "pooling": "last",  # the encoder's final state
    }
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 100, "weight_decay": 0.01}
    config.train = {"steps": 3000, "batch_size": 64, "length": 20, "evaluate_every": 500}
    return config.lock()
