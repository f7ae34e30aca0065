"""Adding over 600 positions and copying over 1,000, by the TCN of Bai et al. 2018 and by a GRU.

python sweep.py --config=experiments/tcn/config.py:task=adding --workdir=sweeps/tcn-adding
--workers=2
python sweep.py --config=experiments/tcn/config.py:task=copy --workdir=sweeps/tcn-copy

15,625 steps of 32 are ten epochs of 50,000 examples, and fifty of 10,000. One seed.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import chain, product, read_arguments

_LEVELS = 8
_KERNEL = 8


def sweep() -> list[dict[str, Any]]:
    """Adding by both, copying by the TCN; they are judged by different scores, so take one task."""
    return chain(
        product({"task": ("adding",), "mixer": ("tcn", "gru")}, {"seed": (0,)}),
        product({"task": ("copy",), "mixer": ("tcn",)}, {"seed": (0,)}),
    )


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: task=adding|copy, mixer=tcn|gru."""
    arguments = read_arguments(arg, task=("adding", "copy"), mixer=("tcn", "gru"))
    adds, convolves = arguments.task == "adding", arguments.mixer == "tcn"
    levels = {
        f"level_{level}": {"kind": "temporal_block", "kernel": _KERNEL, "dilation": 2**level}
        for level in range(_LEVELS)
    }
    mixers: dict[str, Any] = levels if convolves else {"gru": {"kind": "gru"}}
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": arguments.task, "evaluation_examples": 1000}
    config.model = {
        # About 70,000 parameters in adding, as in the paper; its 10 features in copying.
        "width": (24 if convolves else 108) if adds else 10,
        "depth": len(mixers),
        "pattern": tuple(mixers),
        "mixers": mixers,
        "norm": "none",
        "residual": convolves,
        "pooling": "last" if adds else None,
    }
    rate = {"weight_decay": 0.0, "schedule": {"kind": "constant"}}
    if adds:
        config.optimizer = {"kind": "adam", "learning_rate": 2e-3, "clip_norm": None, **rate}
    else:
        config.optimizer = {"kind": "rmsprop", "learning_rate": 5e-4, "clip_norm": 1.0, **rate}
    config.train = {
        "steps": 15_625,
        "batch_size": 32,
        "length": 600 if adds else 1020,
        "evaluate_every": 1000,
        **({"stop_at": 5.8e-5} if adds and convolves else {}),
        **({"stop_at": 5.3e-5} if adds and not convolves else {}),
    }
    return config.lock()
