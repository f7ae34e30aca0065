"""Eight architectures of one size on digits, and on recall at two lengths: an overview.

make compare
seqmodels sweep --config=compare --workdir=sweeps/compare --match=parameters
--target=75300

In stages: three learning rates by one seed, two more seeds at each model's best on validation, and
further rates where the best lies at an end. These are short runs; the sweeps of configs/digits.py
and configs/recall.py are longer. To expect, from its earlier form of one seed (docs/compare.md):
digits 91% (global) to 98% (lstm); recall at 128 global 100%, lstm, gru and conv at most 26%.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import chain, preset, product, read_arguments, staged

_TASKS: dict[str, dict[str, Any]] = {
    "digits": {},
    "recall": {"vocabulary": 80, "evaluation_examples": 500},
}
_MIXERS = ("lstm", "gru", "conv", "local", "global", "transformer", "mamba2", "gated_deltanet")
_RATES = (1e-3, 3e-3, 1e-2)


def sweep() -> list[dict[str, Any]]:
    """Every mixer on digits, and on recall at two lengths: three rates, three seeds."""
    compared = {"mixer": _MIXERS, "optimizer.learning_rate": _RATES, "seed": (0, 1, 2)}
    return staged(
        chain(
            product({"task": ("digits",), "length": (64,)}, compared),
            product({"task": ("recall",), "length": (64, 128)}, compared),
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
        parameters=75_000,
        depth=2,
        causal=not reads,
        pooling="mean" if reads else None,
        length=arguments.length,
        positions="sinusoidal" if reads else "none",
    )
    for mixer in config.model["mixers"].values():
        if mixer["kind"] in ("attention", "mamba2", "gated_deltanet"):
            mixer["heads"] = 2  # widths in steps of 4, so that all sizes meet
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 50}
    config.train = {
        "steps": 600,
        "batch_size": 32,
        "length": arguments.length,
        "log_every": 50,
        "evaluate_every": 150,
    }
    return config.lock()
