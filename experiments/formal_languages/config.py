"""Regular languages, trained on 1 to 40 symbols and asked at 50 to 500 (Delétang et al. 2023).

python sweep.py --config=experiments/formal_languages/config.py --workdir=sweeps/formal_languages
--workers=2

RNN and LSTM of one layer, as in the paper without norm and residual; a Transformer encoder of five.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import chain, product, read_arguments

TASKS = ("parity", "even_pairs", "cycle_navigation")
MIXERS = ("rnn", "lstm", "transformer")
_RATES = (5e-4, 2e-3)


def sweep() -> list[dict[str, Any]]:
    """Every model on every language, by three seeds; recurrent networks by two rates, and the
    Transformer, whose steps take eight times as long, by the first."""
    *recurrent, transformer = MIXERS
    rate, seeds = "optimizer.learning_rate", {"seed": (0, 1, 2)}
    return chain(
        product({"task": TASKS, "mixer": tuple(recurrent)}, {rate: _RATES}, seeds),
        product({"task": TASKS, "mixer": (transformer,)}, {rate: _RATES[:1]}, seeds),
    )


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: task=parity|even_pairs|cycle_navigation, mixer=rnn|lstm|transformer."""
    arguments = read_arguments(arg, task=TASKS, mixer=MIXERS)
    name = arguments.mixer
    recurrent: dict[str, Any] = {
        "width": 128,
        "depth": 1,
        "mixers": {name: {"kind": name}},
        "norm": "none",
        "residual": False,
    }
    encoder: dict[str, Any] = {
        "width": 64,
        "depth": 5,
        "mixers": {
            name: {"kind": "attention", "heads": 8, "causal": False, "positions": "relative"}
        },
        "mlp": "gelu",
        "mlp_expansion": 4.0,
    }
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": arguments.task, "evaluation_examples": 500}
    config.model = {
        **(encoder if name == "transformer" else recurrent),
        "pattern": (name,),
        "pooling": "last",
    }
    config.optimizer = {
        "kind": "adam",
        "learning_rate": 5e-4,
        "clip_norm": 1.0,
        "schedule": {"kind": "constant"},
    }
    config.train = {
        "steps": 3000,
        "batch_size": 128,
        "length": 40,
        "lengths": "uniform",
        "shortest": 1,
        "evaluate_every": 500,
    }
    return config.lock()
