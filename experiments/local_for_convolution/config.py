"""Local attention in a convolution's place, of the same extent, on grids and on sequences.

python sweep.py --config=experiments/local_for_convolution/config.py
--workdir=sweeps/local_for_convolution --workers=2

Handwritten digits as a grid of 8x8 or as a row of 64 pixels; four blocks of width 48. A kernel of 3
sees 3 positions along each axis.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import product, read_arguments, staged

KINDS = ("convolution", "neighbourhood_attention")
EXTENTS = (3, 5, 7)
_RATES = (1e-3, 3e-3, 1e-2)


def sweep() -> list[dict[str, Any]]:
    """Both on grids and sequences, by extent."""
    cells = {"layout": ("grid", "sequence"), "mixer": KINDS, "extent": EXTENTS}
    return staged(product(cells, {"optimizer.learning_rate": _RATES, "seed": (0, 1, 2)}))


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: layout=grid|sequence, mixer=convolution|neighbourhood_attention, extent=3."""
    arguments = read_arguments(arg, layout=("grid", "sequence"), mixer=KINDS, extent=3)
    on_grid, extent = arguments.layout == "grid", arguments.extent
    mixer = {"kind": arguments.mixer, "kernel": (extent,) * 2 if on_grid else extent}
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "digits", **({"layout": "grid"} if on_grid else {})}
    config.model = {
        "width": 48,
        "depth": 4,
        "pattern": (arguments.mixer,),
        "mixers": {arguments.mixer: {**mixer, "causal": False}},
        "positions": "learned",
        "max_length": 64,
        "pooling": "mean",
        "dropout": 0.1,
    }
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 50}
    config.train = {"steps": 400, "batch_size": 32, "length": 64, "evaluate_every": 200}
    return config.lock()
