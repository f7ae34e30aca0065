"""Handwritten digits on 2 or 3 axes: convolution, local attention in its place, patches, hybrids.

python train.py --config=configs/digits_grid.py:mixer=conv,kernel=3 --workdir=runs/digits-grid

Test accuracy in per cent with kernels of 3, mean (lowest to highest) over seeds 0 to 2 (300 images:
one of them is 0.3), each in one to one and a half minutes on 2 cores of an AMD EPYC server:

    conv    99.2 (99.0 to 99.3)      local  98.4 (98.0 to 99.0)
    hybrid  99.2 (99.0 to 99.3)      vit    97.1 (97.0 to 97.3)

Parameters by kernel at width 48: a convolution's grow, those of attention in its place do not.
"""

from ml_collections import ConfigDict

from seqmodels.config import read_arguments
from seqmodels.errors import ConfigError, nearest

_ATTENTION = {
    "kind": "attention",
    "heads": 4,
    "window": None,
    "causal": False,
    "positions": "none",
    "kv_heads": None,
    "score": "scaled_dot",
    "qk_norm": False,
    "rotary_scaling": None,
    "trained_length": None,
    "position_range": None,
    "plain": False,
}


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=conv|local|hybrid|vit, kernel=3 (of conv, local and hybrid), width=48,
    layout=grid|solid (8x8 grey values, or 8x8x8 places up to the height of the ink)."""
    arguments = read_arguments(arg, mixer="conv", kernel=3, width=48, layout="grid")
    axes = {"grid": 2, "solid": 3}
    if arguments.layout not in axes:
        raise ConfigError(
            f"layout={arguments.layout!r} is not known; {nearest(arguments.layout, axes)}"
        )
    rank = axes[arguments.layout]
    extent = {"kernel": (arguments.kernel,) * rank, "dilation": 1, "causal": False, "stride": 1}
    convolution = {"kind": "convolution", "groups": 1, "gated": False, **extent}
    in_its_place = {"kind": "neighbourhood_attention", "heads": 4, **extent}
    # What differs: the mixers in turn, an MLP's width, and the positions that become one.
    models = {
        "conv": ({"conv": convolution}, None, None),
        "local": ({"local": in_its_place}, None, None),
        "hybrid": ({"conv": convolution, "global": _ATTENTION}, None, None),
        "vit": ({"global": _ATTENTION}, 2.0, 2),
    }
    if arguments.mixer not in models:
        raise ConfigError(
            f"mixer={arguments.mixer!r} is not known; {nearest(arguments.mixer, models)}"
        )
    mixers, mlp_expansion, patch = models[arguments.mixer]
    config = ConfigDict()
    config.seed = 0
    config.task = {
        "kind": "digits",
        "shift": 1.0,
        "rotation": 10.0,
        "scaling": 0.1,
        "layout": arguments.layout,
    }
    config.model = {
        "width": arguments.width,
        "depth": 4,
        "pattern": tuple(mixers),
        "mixers": mixers,
        "norm": "layer",
        "norm_position": "pre",
        "mlp": "gelu" if mlp_expansion else "none",
        "mlp_expansion": mlp_expansion,
        "dropout": 0.1,
        "positions": "learned",
        "max_length": (8 // (patch or 1)) ** rank,
        "pooling": "mean",
        "dtype": "float32",
        "patch": patch,
        "scan": None,
    }
    config.optimizer = {
        "learning_rate": 3e-3,
        "warmup_steps": 50,
        "final_learning_rate": 0.0,
        "weight_decay": 0.05,
        "beta1": 0.9,
        "beta2": 0.98,
        "clip_norm": 1.0,
    }
    config.train = {
        "steps": 3000,
        "batch_size": 64,
        "length": 8**rank,
        "accumulate": 1,
        "log_every": 100,
        "evaluate_every": 250,
        "truncate": None,
        "lengths": None,
        "shortest": None,
        "curriculum_steps": None,
    }
    return config.lock()
