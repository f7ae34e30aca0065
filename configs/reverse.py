"""Write a string backwards: what does attention add to an encoder and a decoder?

seqmodels train --config=reverse:cross=additive --workdir=runs/reverse
seqmodels train --config=reverse:cross=none --workdir=runs/reverse-plain

Exact match at length 20, on test, seed 0, in one to two minutes on 2 cores of an AMD EPYC
server: additive 99.7%, none 6.1%; with mixer=transformer 99.1% in four minutes.

Also for the tasks sort, copy_string, duplicate, odds_first, stack_manipulation, compression
(cross=none) and dates (length=29).
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import read_arguments


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: task=reverse, mixer=gru (any recurrent one, or transformer), length=20,
    cross=additive|scaled_dot|dot|none."""
    arguments = read_arguments(
        arg,
        task="reverse",
        mixer=("gru", "lstm", "rnn", "transformer"),
        length=20,
        cross="additive",
    )
    recurrent = arguments.mixer != "transformer"
    attends = arguments.cross != "none"
    reader: dict[str, Any] = {"kind": arguments.mixer}
    if not recurrent:
        reader = {"kind": "attention", "causal": False}
    writer = reader | ({} if recurrent else {"causal": True})
    stack = {"depth": 1 if recurrent else 2, "pattern": ("one",)}
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": arguments.task, "evaluation_examples": 1000}
    config.model = {
        "width": 128,
        "encoder": stack | {"mixers": {"one": reader}},
        "decoder": stack | {"mixers": {"one": writer}},
        "cross": arguments.cross,
        "cross_heads": (1 if recurrent else 4) if attends else None,
        "mlp": "none" if recurrent else "gelu",
        "mlp_expansion": None if recurrent else 2.0,
        "pooling": "last" if recurrent else None,  # a recurrent encoder's final state
    }
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 100, "weight_decay": 0.01}
    config.train = {
        "steps": 6000,
        "batch_size": 64,
        "length": arguments.length,
        "evaluate_every": 500,
    }
    return config.lock()
