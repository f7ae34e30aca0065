"""Pathfinder: does a dashed path join two circles? Long Range Arena's task, pixel by pixel.

seqmodels train --config=pathfinder:mixer=gru,side=32 --workdir=runs/pathfinder

1,024 positions at side 32, 16,384 at 128; chance is 50%. A mixer must see from circle to circle, so
that local ones take several blocks. Not trained to the end yet: an accelerator's work.
"""

from ml_collections import ConfigDict

from seqmodels import preset, read_arguments

# With 10 the dilated convolutions see 2,047 positions, with 3 the hybrid has each mixer once.
_DEPTHS = {"local": 6, "global": 4, "transformer": 4, "tcn": 10, "hybrid": 3}


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=gru, or another of PRESETS in seqmodels/presets.py; side=32 or 128."""
    arguments = read_arguments(arg, mixer="gru", side=32)
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "pathfinder", "side": arguments.side}
    config.model = preset(
        arguments.mixer,
        parameters=100_000,
        depth=_DEPTHS.get(arguments.mixer, 2),
        causal=False,
        pooling="mean",
        # Where a pixel lies matters, to recurrent networks too.
        positions="sinusoidal",
    )
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 200}
    config.train = {
        "steps": 20_000,
        "batch_size": 64,
        "length": arguments.side**2,
        "evaluate_every": 1000,
    }
    return config.lock()
