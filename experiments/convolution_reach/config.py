"""How far does a convolution see? A needle at distances below and beyond its receptive field.

python sweep.py --config=experiments/convolution_reach/config.py --workdir=sweeps/convolution_reach
--match=parameters --target=60000 --workers=2

Kernels of 5 positions: stacks of 2, 4 and 8 see 9, 17 and 33 positions, dilations of 1 to 32 see
253, and one filter is as long as the sequence of 64.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import product, read_arguments, staged

KERNEL = 5
DILATIONS: dict[str, tuple[int, ...]] = {
    "stack_2": (1,) * 2,
    "stack_4": (1,) * 4,
    "stack_8": (1,) * 8,
    "dilated": (1, 2, 4, 8, 16, 32),
}
"""Of each block's convolution."""
_LONG = "long_convolution"
_RATES = (1e-3, 3e-3, 1e-2)


def sweep() -> list[dict[str, Any]]:
    """Every stack."""
    tuned = {"optimizer.learning_rate": _RATES, "seed": (0, 1, 2)}
    return staged(product({"mixer": (*DILATIONS, _LONG)}, tuned))


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=stack_2|stack_4|stack_8|dilated|long_convolution."""
    name = read_arguments(arg, mixer=(*DILATIONS, _LONG)).mixer
    mixers: dict[str, dict[str, Any]] = {_LONG: {"kind": _LONG, "max_length": 64}}
    pattern = (_LONG,) * 2
    if name != _LONG:
        pattern = tuple(f"dilated_{dilation}" for dilation in DILATIONS[name])
        mixers = {
            f"dilated_{dilation}": {"kind": "convolution", "kernel": KERNEL, "dilation": dilation}
            for dilation in DILATIONS[name]
        }
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "needle", "evaluation_examples": 2000}
    config.model = {"width": 48, "depth": len(pattern), "pattern": pattern, "mixers": mixers}
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 100}
    config.train = {"steps": 1500, "batch_size": 64, "length": 64, "evaluate_every": 500}
    return config.lock()
