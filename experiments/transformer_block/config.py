"""What each part of a Transformer block contributes, by leaving it out.

python sweep.py --config=experiments/transformer_block/config.py --workdir=sweeps/transformer_block
--workers=2

Four blocks of width 48, on recall and on digits read pixel by pixel.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import product, read_arguments, staged

TASKS: dict[str, dict[str, Any]] = {"digits": {}, "recall": {"vocabulary": 80}}
LEFT_OUT: dict[str, dict[str, Any]] = {
    "nothing": {},
    "residual": {"residual": False},
    "norm": {"norm": "none"},
    "mlp": {"mlp": "none", "mlp_expansion": None},
    "positions": {},
}
"""By what is left out, what the model's section then says otherwise."""
_RATES = (1e-3, 3e-3, 1e-2)


def sweep() -> list[dict[str, Any]]:
    """The whole block, and without each part."""
    tuned = {"optimizer.learning_rate": _RATES, "seed": (0, 1, 2)}
    return staged(product({"task": tuple(TASKS), "without": tuple(LEFT_OUT)}, tuned))


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: task=digits|recall, without=nothing|residual|norm|mlp|positions."""
    arguments = read_arguments(arg, task=tuple(TASKS), without=tuple(LEFT_OUT))
    recalls, positioned = arguments.task == "recall", arguments.without != "positions"
    attention = {
        "kind": "attention",
        "causal": recalls,
        "positions": "rotary" if positioned else "none",
    }
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": arguments.task, **TASKS[arguments.task]}
    config.model = {
        "width": 48,
        "depth": 4,
        "pattern": ("global",),
        "mixers": {"global": attention},
        "mlp": "gelu",
        "mlp_expansion": 4.0,
        "pooling": None if recalls else "mean",
        **LEFT_OUT[arguments.without],
    }
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 100}
    config.train = {"steps": 800, "batch_size": 32, "length": 64, "evaluate_every": 400}
    return config.lock()
