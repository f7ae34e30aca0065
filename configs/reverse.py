"""Write a string backwards: what does attention add to an encoder and a decoder?

python train.py --config=configs/reverse.py:cross=additive --workdir=runs/reverse
python train.py --config=configs/reverse.py:cross=none --workdir=runs/reverse-plain

Exact match at length 20, on test, seed 0, in one to two minutes on 2 cores of an AMD EPYC
server: additive 99.7%, none 6.1%; with mixer=transformer 99.1% in four minutes.

Also for the tasks sort, copy_string, duplicate, odds_first, stack_manipulation, compression
(cross=none) and dates (length=29).
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels.config import read_arguments
from seqmodels.errors import ConfigError, nearest

_RECURRENT = ("rnn", "lstm", "gru")


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: task=reverse, mixer=gru (any recurrent one, or transformer), length=20,
    cross=additive|scaled_dot|dot|none."""
    arguments = read_arguments(arg, task="reverse", mixer="gru", length=20, cross="additive")
    recurrent = arguments.mixer in _RECURRENT
    attends = arguments.cross != "none"
    reader: dict[str, Any] = {"kind": arguments.mixer}
    if arguments.mixer == "rnn":
        reader["activation"] = "tanh"
    if not recurrent:
        reader = {
            "kind": "attention",
            "heads": 4,
            "window": None,
            "causal": False,
            "positions": "rotary",
            "kv_heads": None,
            "score": "scaled_dot",
            "qk_norm": False,
            "rotary_scaling": None,
            "trained_length": None,
            "position_range": None,
            "plain": False,
        }
    writer = reader | ({} if recurrent else {"causal": True})
    stack = {"depth": 1 if recurrent else 2, "pattern": ("one",), "scan": None}
    if not recurrent and arguments.mixer != "transformer":
        known = nearest(arguments.mixer, (*_RECURRENT, "transformer"))
        raise ConfigError(f"mixer={arguments.mixer!r} is not known; {known}")
    config = ConfigDict()
    config.seed = 0
    strings: dict[str, Any] = {"symbols": 10, "shortest": 1}
    if arguments.task in ("dates", "stack_manipulation"):
        strings = {}
    elif arguments.task == "compression":
        strings = {"symbols": 15}
    config.task = {"kind": arguments.task, "evaluation_examples": 1000, **strings}
    config.model = {
        "width": 128,
        "encoder": stack | {"mixers": {"one": reader}},
        "decoder": stack | {"mixers": {"one": writer}},
        "cross": arguments.cross,
        "cross_heads": (1 if recurrent else 4) if attends else None,
        "norm": "layer",
        "norm_position": "pre",
        "mlp": "none" if recurrent else "gelu",
        "mlp_expansion": None if recurrent else 2.0,
        "dropout": 0.0,
        "positions": "none",
        "max_length": None,
        "pooling": "last" if recurrent else None,  # a recurrent encoder's final state
        "scheduled_sampling": 0.0,
        "dtype": "float32",
    }
    config.optimizer = {
        "learning_rate": 3e-3,
        "warmup_steps": 100,
        "final_learning_rate": 0.0,
        "weight_decay": 0.01,
        "beta1": 0.9,
        "beta2": 0.98,
        "clip_norm": 1.0,
    }
    config.train = {
        "steps": 6000,
        "batch_size": 64,
        "length": arguments.length,
        "accumulate": 1,
        "log_every": 100,
        "evaluate_every": 500,
        "truncate": None,
        "lengths": None,
        "shortest": None,
        "curriculum_steps": None,
    }
    return config.lock()
