"""Handwritten digits read pixel by pixel."""

from ml_collections import ConfigDict

from seqmodels.config import read_arguments
from seqmodels.presets import preset


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=rnn|lstm|gru|conv|local|global|transformer."""
    arguments = read_arguments(arg, mixer="conv")
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "digits", "shift": 1.0, "rotation": 10.0, "scaling": 0.1}
    config.model = preset(
        arguments.mixer,
        parameters=100_000,
        depth=2,
        causal=False,
        pooling="mean",
        dropout=0.2,
    )
    config.optimizer = {
        "learning_rate": 3e-3,
        "warmup_steps": 50,
        "final_learning_rate": 0.0,
        "weight_decay": 0.05,
        "beta1": 0.9,
        "beta2": 0.98,
        "clip_norm": 1.0,
    }
    config.train = {
        "steps": 2000,
        "batch_size": 32,
        "length": 64,
        "accumulate": 1,
        "log_every": 100,
        "evaluate_every": 250,
    }
    return config.lock()
