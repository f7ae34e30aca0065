"""The atlas: every kind of mixer on the same tasks, at one size and one budget of tuning.

seqmodels sweep --config=atlas --workdir=sweeps/atlas --match=parameters
--target=75300 --workers=2

Some 730 runs; all may be stopped, and the same command goes on. experiments/atlas/README.md says
how long they take and how their results are kept, docs/mixers.md has their table. Published
differences between linear mixers mostly vanish once all have a short convolution; so all have one
on each task, and on recall all are compared without it too. Three more tasks, and greater lengths,
have sweeps of their own in experiments/atlas/.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import chain, preset, product, read_arguments, staged

_TASKS: dict[str, dict[str, Any]] = {
    "recall": {"vocabulary": 80},
    "selective_copy": {},
    "parity": {"each": True},
    "needle": {},
    "digits": {},
    "text": {"evaluation_windows": 64},
}
THREE = ("recall", "selective_copy", "parity")
"""Those that every mixer has."""
_FINITE = ("digits", "text")
"""Tasks whose examples are not drawn."""
MIXERS = (
    *("mingru", "minlstm", "lru", "rglru", "s4d", "s5", "mamba"),
    *("linear_attention", "retention", "gla", "mamba2", "mamba3", "mlstm", "slstm"),
    *("deltanet", "gated_deltanet", "kda", "deltaproduct", "rwkv7", "hyena", "long_convolution"),
    *("gru", "lstm", "conv", "local", "global"),
)
FAMILIES = (
    *("lstm", "gru", "conv", "local", "global", "hyena", "lru", "s5", "mingru", "mamba"),
    *("gla", "mamba2", "mlstm", "gated_deltanet", "kda", "rwkv7"),
)
"""Sixteen of them, of all families: these are asked all questions."""
_HEADS = {  # so that widths go in steps of two, and all meet one size
    **dict.fromkeys(("linear_attention", "mamba2", "mamba3", "slstm"), 2),
    **dict.fromkeys(("deltanet", "gated_deltanet", "kda", "deltaproduct", "rwkv7"), 2),
    **dict.fromkeys(("retention", "gla", "mlstm", "local", "global"), 1),
}


def sweep() -> list[dict[str, Any]]:
    """Every mixer on three tasks with a short convolution, and on recall without: five rates by
    one seed, the best by two more."""
    tuned = {"optimizer.learning_rate": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2), "seed": (0, 1, 2)}
    return staged(
        chain(
            product({"task": THREE, "mixer": MIXERS, "short": ("on",)}, tuned),
            product({"task": ("recall",), "mixer": MIXERS, "short": ("off",)}, tuned),
        )
    )


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: task=recall|selective_copy|parity|needle|digits|text, mixer=PRESET
    (seqmodels/presets.py), short=on|off (the short convolution), length=64."""
    arguments = read_arguments(arg, task=tuple(_TASKS), mixer="gru", short=("on", "off"), length=64)
    config = ConfigDict()
    config.seed = 0
    reads = arguments.task == "digits"  # in which it matters where a pixel lies
    drawn = {} if arguments.task in _FINITE else {"evaluation_examples": 500}
    config.task = {"kind": arguments.task, **drawn, **_TASKS[arguments.task]}
    config.model = preset(
        arguments.mixer,
        parameters=75_000,
        depth=2,
        causal=True,
        pooling="mean" if reads else None,
        length=arguments.length,
        positions="sinusoidal" if reads else "none",
        short_convolution=4 if arguments.short == "on" else None,
    )
    for mixer in config.model.mixers.values():
        if arguments.mixer in _HEADS:
            mixer.heads = _HEADS[arguments.mixer]
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 50}
    config.train = {
        "steps": 600,
        "batch_size": max(1, 32 * 64 // arguments.length),  # as many positions at each length
        "length": arguments.length,
        "evaluate_every": 300,
        "decode_step": True,  # what one takes is part of what is asked
    }
    return config.lock()
