"""A set of tensorflow-datasets by its name: images pixel by pixel, texts by bytes, raw audio.

seqmodels train --config=tfds:set=mnist,layout=permuted,mixer=gru --workdir=runs/pmnist

The set must lie on this machine as ArrayRecord files; where it doesn't, one line says what to run
on a machine with network. In config.task.data_dir, $TFDS_DATA_DIR or ~/tensorflow_datasets. Any
other set: --config.task.set=NAME and, as it calls them, --config.task.input and .target.

Not yet run on the real sets: no times or scores stand here.
"""

from ml_collections import ConfigDict

from seqmodels import preset, read_arguments

# What is read, its layout and length: 1 s of audio has 16,000 samples.
_SETS = {
    "mnist": ("image", "sequence", 784),
    "cifar10": ("image", "sequence", 1024),
    "imdb_reviews": ("text", "bytes", 1024),
    "speech_commands": ("audio", "audio", 16_000),
}


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: set=mnist|cifar10|imdb_reviews|speech_commands, mixer=gru (any preset),
    layout=sequence|permuted|grid of images, length=0 (the set's own; of text and audio any)."""
    arguments = read_arguments(
        arg,
        set=("mnist", "cifar10", "imdb_reviews", "speech_commands"),
        layout="",
        mixer="",
        length=0,
    )
    feature, layout, length = _SETS[arguments.set]
    layout = arguments.layout or layout
    config = ConfigDict()
    config.seed = 0
    config.task = {
        "kind": "tfds",
        "set": arguments.set,
        "input": feature,
        "target": "label",
        "layout": layout,
        "data_dir": None,  # $TFDS_DATA_DIR, or ~/tensorflow_datasets
    }
    if layout == "grid":
        if arguments.mixer not in ("", "conv"):
            raise ValueError(
                f"mixer={arguments.mixer!r} does not go with layout=grid; leave it out, for a "
                "convolution, or see configs/digits_grid.py for others"
            )
        config.model = {
            "width": 64,
            "depth": 4,
            "pattern": ("conv",),
            "mixers": {"conv": {"kind": "convolution", "kernel": (3, 3), "causal": False}},
            "dropout": 0.1,
            "pooling": "mean",
        }
    else:
        config.model = preset(
            arguments.mixer or "gru",
            parameters=100_000,
            depth=2,
            causal=False,
            pooling="mean",
            dropout=0.1,
            positions="sinusoidal",  # where a pixel lies matters, to recurrent networks too
        )
    config.optimizer = {"learning_rate": 2e-3, "warmup_steps": 200}
    config.train = {
        "steps": 10_000,
        "batch_size": 64,
        "length": arguments.length or length,
        "evaluate_every": 1000,
    }
    return config.lock()
