"""Handwritten digits on 2 or 3 axes: convolution, local attention in its place, patches, hybrids.

seqmodels train --config=digits_grid:mixer=conv,kernel=3 --workdir=runs/digits-grid

Test accuracy in per cent with kernels of 3, mean (lowest to highest) over seeds 0 to 2 (300 images:
one of them is 0.3), each in one to one and a half minutes on 2 cores of an AMD EPYC server:

    conv    99.2 (99.0 to 99.3)      local  98.4 (98.0 to 99.0)
    hybrid  99.2 (99.0 to 99.3)      vit    97.1 (97.0 to 97.3)

Parameters by kernel at width 48: a convolution's grow, those of attention in its place do not.
"""

from ml_collections import ConfigDict

from seqmodels import read_arguments

_ATTENTION = {"kind": "attention", "causal": False, "positions": "none"}


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=conv|local|hybrid|vit, kernel=3 (of conv, local and hybrid), width=48,
    layout=grid|solid (8x8 grey values, or 8x8x8 places up to the height of the ink)."""
    arguments = read_arguments(
        arg, mixer=("conv", "local", "hybrid", "vit"), kernel=3, width=48, layout=("grid", "solid")
    )
    rank = {"grid": 2, "solid": 3}[arguments.layout]
    extent = {"kernel": (arguments.kernel,) * rank, "causal": False}
    convolution = {"kind": "convolution", **extent}
    in_its_place = {"kind": "neighbourhood_attention", **extent}
    # What differs: the mixers in turn, an MLP's width, and the positions that become one.
    models = {
        "conv": ({"conv": convolution}, None, None),
        "local": ({"local": in_its_place}, None, None),
        "hybrid": ({"conv": convolution, "global": _ATTENTION}, None, None),
        "vit": ({"global": _ATTENTION}, 2.0, 2),
    }
    mixers, mlp_expansion, patch = models[arguments.mixer]
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "digits", "layout": arguments.layout}
    config.model = {
        "width": arguments.width,
        "depth": 4,
        "pattern": tuple(mixers),
        "mixers": mixers,
        "mlp": "gelu" if mlp_expansion else "none",
        "mlp_expansion": mlp_expansion,
        "dropout": 0.1,
        "positions": "learned",
        "max_length": (8 // (patch or 1)) ** rank,
        "pooling": "mean",
        "patch": patch,
    }
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 50}
    config.train = {"steps": 3000, "batch_size": 64, "length": 8**rank}
    return config.lock()
