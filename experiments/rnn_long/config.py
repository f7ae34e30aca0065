"""Who remembers, recalls and tracks a state: recurrent networks beside attention and convolution.

python sweep.py --config=experiments/rnn_long/config.py --workdir=sweeps/rnn_long
--match=parameters --target=50000 --workers=2

Length 64, two blocks, without MLP and short convolution; three learning rates in stages. What is
asked and what came of it: experiments/rnn_long/README.md.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import preset, product, read_arguments, staged

_TASKS: dict[str, dict[str, Any]] = {
    "needle": {},
    "copy": {},
    "recall": {"vocabulary": 80},
    "parity": {"each": True},
    "modular_arithmetic": {},
    "word_problem": {"group": "s3"},
}
_MIXERS = ("rnn", "lstm", "gru", "conv", "global")
_RATES = (1e-3, 3e-3, 1e-2)


def sweep() -> list[dict[str, Any]]:
    """Every mixer on every task."""
    tuned = {"optimizer.learning_rate": _RATES, "seed": (0, 1, 2)}
    return staged(product({"task": tuple(_TASKS), "mixer": _MIXERS}, tuned))


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: task=needle|copy|recall|parity|modular_arithmetic|word_problem,
    mixer=rnn|lstm|gru|conv|global."""
    arguments = read_arguments(arg, task=tuple(_TASKS), mixer=_MIXERS)
    last = arguments.task == "modular_arithmetic"
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": arguments.task, "evaluation_examples": 500, **_TASKS[arguments.task]}
    config.model = preset(
        arguments.mixer,
        parameters=50_000,
        depth=2,
        causal=True,
        pooling="last" if last else None,
    )
    for mixer in config.model.mixers.values():
        if arguments.mixer == "global":
            mixer.heads = 1  # so that widths go in steps of two, and all meet one size
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 50}
    config.train = {"steps": 800, "batch_size": 32, "length": 64, "evaluate_every": 400}
    if last:  # numbers and signs take turns; of the whole length alone nobody learns it
        config.train.update({"length": 63, "lengths": "uniform", "shortest": 3})
    return config.lock()
