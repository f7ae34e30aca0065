"""Multi-query associative recall: which mixers look things up, and at which length?

seqmodels train --config=recall:mixer=global,length=64,pairs=4 --workdir=runs/recall

After the key-value pairs each key is asked for once; the score is the share of values
answered rightly (Arora et al. 2023, Zoology). Test accuracy in per cent at length 64 with
4 pairs, seed 0, and the time of a run on one core of an AMD EPYC server:

    global       100.0   139 s      lstm   24.7    79 s
    transformer   99.9   132 s      gru    24.7    77 s
    local         78.7   140 s      conv   24.0    49 s
    rnn            1.0    76 s

25% is to name any of the four values that were shown, 0.8% is chance. Two windows of 16
keys see 30 positions back, which is too near for the later queries.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import preset, product, read_arguments


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=PRESET (seqmodels/presets.py), length=64, pairs=4."""
    arguments = read_arguments(arg, mixer="global", length=64, pairs=4)
    config = ConfigDict()
    config.seed = 0
    config.task = {
        "kind": "recall",
        "pairs": arguments.pairs,
        "power": 0.01,  # Zoology's: queries mostly soon after the pairs
    }
    config.model = preset(
        arguments.mixer,
        parameters=100_000,
        depth=2,
        causal=True,
        pooling=None,
        length=arguments.length,
    )
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 200, "weight_decay": 0.1}
    config.train = {
        "steps": 1200,
        "batch_size": 64,
        "length": arguments.length,
        "evaluate_every": 500,
    }
    return config.lock()


def sweep() -> list[dict[str, Any]]:
    """Seven mixers at three lengths; each with the same learning rates and seeds."""
    return product(
        {"mixer": ("rnn", "lstm", "gru", "conv", "local", "global", "transformer")},
        {"length": (32, 64, 128)},
        {"optimizer.learning_rate": (1e-3, 3e-3, 1e-2), "seed": (0, 1, 2)},
    )
