"""Claims of the papers on mixers of linear time, at the smallest size at which they can be held.

python sweep.py --config=experiments/linear_claims/config.py --workdir=sweeps/linear_claims
--workers=2

Width 64, two blocks, a short convolution in all, three learning rates by one seed. What is claimed
and what came of it: experiments/linear_claims/README.md.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import chain, product, read_arguments

_RATES = (1e-3, 3e-3, 1e-2)
# (task, mixer): the rate that validated best. Their verdict hangs on two more seeds.
_HANGING: dict[tuple[str, str], float] = {}
_MIXERS: dict[str, dict[str, Any]] = {
    "mamba": {"kind": "mamba"},
    "mamba_signed": {"kind": "mamba", "negative_eigenvalues": True},
    "deltanet": {"kind": "deltanet"},
    "deltanet_signed": {"kind": "deltanet", "negative_eigenvalues": True},
    "slstm": {"kind": "slstm"},
    "mlstm": {"kind": "mlstm"},
    "deltaproduct_1": {"kind": "deltaproduct", "steps": 1},
    "deltaproduct_2": {"kind": "deltaproduct", "steps": 2},
    **{f"mamba2_{n}": {"kind": "mamba2", "state_size": n} for n in (4, 8, 16, 32)},
}
_TASKS: dict[str, dict[str, Any]] = {
    "parity": {"kind": "parity", "each": True},
    "s3": {"kind": "word_problem", "group": "s3", "scored": 8},
    "recall": {"kind": "recall", "vocabulary": 128, "pairs": 16, "power": 0.01},
    "modular": {"kind": "modular_arithmetic"},
}
_TRAIN: dict[str, dict[str, Any]] = {
    "parity": {"length": 40, "steps": 3000},
    "s3": {"length": 32, "steps": 3000},
    "recall": {"length": 128, "steps": 2000},
    "modular": {"length": 39, "lengths": "uniform", "shortest": 3, "steps": 3000},
}
_STATES = ("mamba", "mamba_signed", "deltanet", "deltanet_signed", "slstm", "mlstm")
_COMPARED: dict[str, tuple[str, ...]] = {
    "parity": _STATES,
    "s3": ("deltaproduct_1", "deltaproduct_2"),
    "recall": ("mamba2_4", "mamba2_8", "mamba2_16", "mamba2_32"),
    "modular": ("mamba_signed", "deltanet_signed", "slstm", "mlstm"),
}


def sweep() -> list[dict[str, Any]]:
    """Each task with the mixers that are claimed to solve it, or not to."""
    return chain(
        *(
            product({"task": (task,), "mixer": (mixer,)}, _tuned(task, mixer))
            for task, mixers in _COMPARED.items()
            for mixer in mixers
        )
    )


def _tuned(task: str, mixer: str) -> dict[str, tuple[Any, ...]]:
    rate = _HANGING.get((task, mixer))
    if rate is not None:
        return {"optimizer.learning_rate": (rate,), "seed": (0, 1, 2)}
    return {"optimizer.learning_rate": _RATES, "seed": (0,)}


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: task=parity|s3|recall|modular, mixer=mamba|mamba_signed|..."""
    arguments = read_arguments(arg, task=tuple(_TASKS), mixer=tuple(_MIXERS))
    task, mixer = arguments.task, arguments.mixer
    config = ConfigDict()
    config.seed = 0
    config.task = {**_TASKS[task], "evaluation_examples": 1000}
    config.model = {
        "width": 64,
        "depth": 2,
        "pattern": (mixer,),
        "mixers": {mixer: _MIXERS[mixer]},
        "short_convolution": 4,
    }
    if task == "modular":
        config.model.pooling = "last"
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 100, "weight_decay": 0.0}
    config.train = {"batch_size": 64, "evaluate_every": 500, "decode_step": False, **_TRAIN[task]}
    return config.lock()
