"""A question about a set of numbers, whatever their order: the largest, or how many are 0.

seqmodels train --config=set:operation=maximum --workdir=runs/set

Self-attention without positions is an operation on a set: it can't be misled by the order.
"""

from ml_collections import ConfigDict

from seqmodels import preset, read_arguments


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=PRESET (seqmodels/presets.py), operation=maximum|count, length=32."""
    arguments = read_arguments(arg, mixer="transformer", operation=("maximum", "count"), length=32)
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "set", "operation": arguments.operation, "symbols": 16}
    config.model = preset(
        arguments.mixer,
        parameters=100_000,
        depth=2,
        causal=False,
        pooling="mean",
        length=arguments.length,
    )
    for mixer in config.model.mixers.values():
        if mixer.kind == "attention":
            mixer.positions = "none"
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 100}
    config.train = {"steps": 1000, "batch_size": 64, "length": arguments.length}
    return config.lock()
