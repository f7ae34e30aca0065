"""Trained at length 64, asked at up to 4,096: who still knows what it knew?

seqmodels train --config=length:mixer=rotary --workdir=runs/length/rotary
seqmodels evaluate --workdir=runs/length/rotary --lengths=64,128,...,4096 --examples=200

Keys and values in turn; where a key has been seen before, its value is asked for (recall in
context of MAD). There are 8 keys, however long the sequence: what must be held stays the
same, and only the distances grow.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import preset, read_arguments

_LENGTH = 64
# Settings of global attention; "sinusoidal" is added to the embeddings, the others are its own.
_POSITIONS: dict[str, dict[str, Any]] = {
    "none": {"positions": "none"},
    "sinusoidal": {"positions": "none"},
    "rotary": {"positions": "rotary"},
    "rotary_linear": {
        "positions": "rotary",
        "rotary_scaling": "linear",
        "trained_length": _LENGTH,
    },
    "rotary_ntk": {"positions": "rotary", "rotary_scaling": "ntk", "trained_length": _LENGTH},
    "randomised": {"positions": "rotary", "position_range": 4096},
    "relative": {"positions": "relative"},
    "alibi": {"positions": "alibi"},
}
_OTHERS = {"local": "local", "lstm": "lstm", "gru": "gru", "dilated": "tcn"}


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=none|sinusoidal|rotary|rotary_linear|rotary_ntk|randomised|relative|alibi
    (global attention with these positions), local, lstm, gru or dilated (a convolution)."""
    arguments = read_arguments(arg, mixer=("rotary", *_POSITIONS, *_OTHERS))
    name = arguments.mixer
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "in_context_recall", "vocabulary": 16, "evaluation_examples": 1000}
    config.model = preset(
        _OTHERS.get(name, "global"),
        parameters=100_000,
        depth=5 if name == "dilated" else 2,  # dilations 1 to 16 see 63 positions
        causal=True,
        pooling=None,
        positions="sinusoidal" if name == "sinusoidal" else "none",
    )
    if name in _POSITIONS:
        config.model.mixers["global"].update(_POSITIONS[name])
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 200, "weight_decay": 0.1}
    config.train = {"steps": 1500, "batch_size": 64, "length": _LENGTH, "evaluate_every": 500}
    return config.lock()
