"""Bytes of Python source: which package are they from, or are two stretches from one file?

seqmodels train --config=source:task=source_package,mixer=conv --workdir=runs/source

Accuracy in per cent on 256 bytes of the standard library of Python 3.13, seed 0; a run takes 2 to 4
minutes on 2 busy cores of an AMD EPYC server:

                                  chance    validation    test
    source_package  conv            10         77.2       74.7
    same_file       conv            50         50.4       51.4
    same_file       transformer     50         55.8       55.3

Each is of 1,000 stretches, which alone makes it uncertain by 3, and of 77 or 97 files. In training
the first reaches 91: what tells packages apart in some files does not in others. same_file is hard:
its loss hardly leaves ln 2 in so many steps, and the convolution's score is that of chance.
"""

from ml_collections import ConfigDict

from seqmodels import preset, read_arguments


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: task=source_package|same_file, mixer=PRESET (seqmodels/presets.py), length=256."""
    arguments = read_arguments(arg, task=("source_package", "same_file"), mixer="conv", length=256)
    config = ConfigDict()
    config.seed = 0
    config.task = {
        "kind": arguments.task,
        "files": "stdlib",  # or a folder, or a glob: code/**/*.py
        "splitting": "shares",  # or whole_files, as earlier versions split them
    }
    config.model = preset(
        arguments.mixer,
        parameters=100_000,
        depth=2,
        causal=False,
        pooling="mean",
        length=arguments.length,
        dropout=0.1,
    )
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 50}
    config.train = {
        "steps": 500,
        "batch_size": 64,
        "length": arguments.length,
        "log_every": 50,
        "evaluate_every": 100,
    }
    return config.lock()
