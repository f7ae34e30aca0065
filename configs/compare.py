"""Eight architectures of one size on digits, and on recall at two lengths: an overview.

make compare
seqmodels sweep --config=compare --workdir=sweeps/compare --match=parameters --target=34800

Every mixer has a short convolution, as the linear ones are published. In stages: the same three
learning rates by one seed, further ones where the best lies at an end, and two more seeds of the
best, chosen on validation. These are short runs; the sweeps of configs/digits.py and
configs/recall.py are longer.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import chain, preset, product, read_arguments, staged

_TASKS: dict[str, dict[str, Any]] = {
    "digits": {},
    "recall": {"vocabulary": 80, "evaluation_examples": 500},
}
_HEADS = ("local", "global", "transformer", "mamba2", "gated_deltanet")
_MIXERS = ("lstm", "gru", "conv", *_HEADS)


def sweep() -> list[dict[str, Any]]:
    """Every mixer on digits, and on recall at two lengths, in stages."""
    tuned = {
        "mixer": _MIXERS,
        "optimizer.learning_rate": (3e-3, 1e-2, 3e-2),
        "seed": (0, 1, 2),
    }
    return staged(
        chain(
            product({"task": ("digits",), "length": (64,)}, tuned),
            product({"task": ("recall",), "length": (64, 128)}, tuned),
        )
    )


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: task=digits|recall, mixer=PRESET (seqmodels/presets.py), length=64."""
    arguments = read_arguments(arg, task=("digits", "recall"), mixer="gru", length=64)
    reads = arguments.task == "digits"
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": arguments.task, **_TASKS[arguments.task]}
    config.model = preset(
        arguments.mixer,
        parameters=34_800,
        depth=2,
        causal=not reads,
        pooling="mean" if reads else None,
        length=arguments.length,
        positions="sinusoidal" if reads else "none",
        short_convolution=4,
    )
    for mixer in config.model["mixers"].values():
        if arguments.mixer in _HEADS:
            mixer["heads"] = 1  # widths in steps of 1 or 2, so that all sizes meet
    config.optimizer = {"learning_rate": 1e-2, "warmup_steps": 50}
    config.train = {
        "steps": 400,
        "batch_size": 16,
        "length": arguments.length,
        "log_every": 50,
        "evaluate_every": 200,
    }
    return config.lock()
