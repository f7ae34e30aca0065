"""A question about a set of numbers, whatever their order: the largest, or how many are 0.

python train.py --config=configs/set.py:operation=maximum --workdir=runs/set

Self-attention without positions is an operation on a set: it can't be misled by the order.
"""

from ml_collections import ConfigDict

from seqmodels.config import read_arguments
from seqmodels.presets import preset


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=PRESET (seqmodels/presets.py), operation=maximum|count, length=32."""
    arguments = read_arguments(arg, mixer="transformer", operation="maximum", length=32)
    config = ConfigDict()
    config.seed = 0
    config.task = {
        "kind": "set",
        "operation": arguments.operation,
        "symbols": 16,
        "evaluation_examples": 1000,
    }
    config.model = preset(
        arguments.mixer, parameters=100_000, depth=2, causal=False, pooling="mean"
    )
    for mixer in config.model.mixers.values():
        if "positions" in mixer:
            mixer.positions = "none"
    config.optimizer = {
        "learning_rate": 3e-3,
        "warmup_steps": 100,
        "final_learning_rate": 0.0,
        "weight_decay": 0.05,
        "beta1": 0.9,
        "beta2": 0.98,
        "clip_norm": 1.0,
    }
    config.train = {
        "steps": 1000,
        "batch_size": 64,
        "length": arguments.length,
        "accumulate": 1,
        "log_every": 100,
        "evaluate_every": 250,
        "truncate": None,
        "lengths": None,
        "shortest": None,
        "curriculum_steps": None,
    }
    return config.lock()
