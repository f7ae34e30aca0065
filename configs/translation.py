"""Translate byte by byte: an encoder, a decoder, and attention from one to the other.

seqmodels train --config=translation --workdir=runs/translation

The set must lie on this machine as ArrayRecord files, in config.task.data_dir, $TFDS_DATA_DIR or
~/tensorflow_datasets; where it doesn't, one line says what to run on a machine with network.
Other pairs: --config.task.set=ted_hrlr_translate/ru_to_en --config.task.input=ru.

Not yet run on the real set: no times or scores stand here.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import read_arguments


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=gru (any recurrent one, or transformer), length=128 (bytes),
    cross=additive|scaled_dot|dot|none."""
    arguments = read_arguments(
        arg, mixer=("gru", "lstm", "rnn", "transformer"), length=128, cross="additive"
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
    config.task = {
        "kind": "tfds_pairs",
        "set": "ted_hrlr_translate/pt_to_en",
        "input": "pt",
        "target": "en",
        "data_dir": None,  # $TFDS_DATA_DIR, or ~/tensorflow_datasets
    }
    config.model = {
        "width": 256,
        "encoder": stack | {"mixers": {"one": reader}},
        "decoder": stack | {"mixers": {"one": writer}},
        "cross": arguments.cross,
        "cross_heads": (1 if recurrent else 4) if attends else None,
        "mlp": "none" if recurrent else "gelu",
        "mlp_expansion": None if recurrent else 2.0,
        "pooling": "last" if recurrent else None,  # a recurrent encoder's final state
    }
    config.optimizer = {"learning_rate": 1e-3, "warmup_steps": 100, "weight_decay": 0.01}
    config.train = {
        "steps": 20_000,
        "batch_size": 64,
        "length": arguments.length,
        "evaluate_every": 2000,
    }
    return config.lock()
