"""Seven architectures of one size on digits, and on recall at three lengths: an overview.

make compare
seqmodels sweep --config=compare --workdir=sweeps/compare --match=parameters
--target=75300

Each model gets the same three learning rates, chosen between on validation. These are short runs of
one seed; the sweeps of configs/digits.py and configs/recall.py are longer, and of several. All take
14 to 18 minutes on 2 cores. Digits: 91% (global) to 98% (lstm). Recall: attention 100% at 32,
global also at 128; rnn, lstm, gru and conv at most 26% (docs/compare.md).
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import chain, preset, product, read_arguments

_TASKS: dict[str, dict[str, Any]] = {
    "digits": {},
    "recall": {"vocabulary": 80, "evaluation_examples": 500},
}
_MIXERS = ("rnn", "lstm", "gru", "conv", "local", "global", "transformer")
_RATES = (1e-3, 3e-3, 1e-2)


def sweep() -> list[dict[str, Any]]:
    """Every mixer on digits, and on recall at three lengths, at three learning rates."""
    compared = {"mixer": _MIXERS, "optimizer.learning_rate": _RATES}
    return chain(
        product({"task": ("digits",), "length": (64,)}, compared),
        product({"task": ("recall",), "length": (32, 64, 128)}, compared),
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
        if "attention" in mixer["kind"]:
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
